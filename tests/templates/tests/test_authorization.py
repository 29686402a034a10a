"""What the authorization data is asked, and how forms of ARNs are compared."""

import unittest

import _path  # noqa: F401
import authorization


class Forms(unittest.TestCase):
    BUCKET, OBJECT = "arn:${Partition}:s3:::${BucketName}", "arn:${Partition}:s3:::${BucketName}/${ObjectName}"
    INSTANCE = "arn:${Partition}:rds:${Region}:${Account}:db:${DbInstanceName}"
    PARAMETER = "arn:${Partition}:ssm:${Region}:${Account}:parameter/${ParameterNameWithoutLeadingSlash}"

    LOGS = "arn:${Partition}:logs:${Region}:${Account}:log-group:${LogGroupName}"

    def test_what_can_be_of_a_form(self):
        for arn, form in (
            ("*", self.OBJECT),
            ("arn:aws:s3:::bucket", self.BUCKET),
            ("arn:aws:s3:::lifeboat-*", self.BUCKET),
            ("arn:aws:s3:::bucket/a/b/*", self.OBJECT),
            ("arn:aws:s3:::*/a", self.OBJECT),
            ("arn:aws:logs:*:123456789012:log-group:/aws/lambda/lifeboat-*", self.LOGS),
            # A wildcard in a bucket's name reaches into its objects.
            ("arn:aws:s3:::lifeboat-*", self.OBJECT),
            ("arn:aws:rds:*:123456789012:db:*", self.INSTANCE),
            ("arn:aws:rds:us-east-1:123456789012:db:queue-?", self.INSTANCE),
            ("arn:aws:ssm:us-east-1:123456789012:parameter/lifeboat/plans/*", self.PARAMETER),
        ):
            self.assertTrue(authorization.fits(arn, form), f"{arn} {form}")

    def test_what_cannot(self):
        for arn, form in (
            ("arn:aws:s3:::bucket/key", self.BUCKET),
            ("arn:aws:s3:::bucket", self.OBJECT),
            ("arn:aws:s3:us-east-1::bucket", self.BUCKET),
            ("arn:aws:rds:us-east-1:123456789012:snapshot:queue", self.INSTANCE),
            ("arn:aws:rds::123456789012:db:queue", self.INSTANCE),
            ("arn:aws:rds:us-east-1:123456789012:db:", self.INSTANCE),
            ("arn:aws:ssm:us-east-1:123456789012:document/queue", self.PARAMETER),
            ("queue", self.INSTANCE),
        ):
            self.assertFalse(authorization.fits(arn, form), f"{arn} {form}")


class Data(unittest.TestCase):
    def test_actions_are_known_by_name_and_by_wildcard(self):
        self.assertEqual(authorization.actions("s3:GetObject"), ["s3:GetObject"])
        self.assertIn("kms:GenerateDataKeyPair", authorization.actions("kms:GenerateDataKey*"))
        for nothing in ("s3:GetObjekt", "nobody:GetObject", "s3", "s3:GetObjekt*"):
            self.assertEqual(authorization.actions(nothing), [], nothing)

    def test_keys_are_global_or_of_the_action_or_of_its_resource(self):
        for action, key in (
            ("s3:GetObject", "aws:SecureTransport"),
            ("s3:PutObject", "s3:if-none-match"),
            ("kms:Encrypt", "kms:EncryptionContext:aws:s3:arn"),
            ("kms:Decrypt", "kms:ResourceAliases"),
            ("ssm:SendCommand", "ssm:resourceTag/lifeboat-site"),
            ("cloudwatch:PutMetricData", "cloudwatch:namespace"),
            ("s3:GetObject", "aws:PrincipalTag/app"),
        ):
            self.assertTrue(authorization.has_key(action, key), f"{action} {key}")
        for action, key in (
            ("s3:GetObject", "s3:if-none-match"),
            ("cloudwatch:GetMetricData", "cloudwatch:namespace"),
            ("s3:PutObject", "ssm:resourceTag/lifeboat-site"),
            ("kms:Encrypt", "kms:EncryptionContext:"),
            ("s3:PutObject", "aws:SourceAcount"),
        ):
            self.assertFalse(authorization.has_key(action, key), f"{action} {key}")


if __name__ == "__main__":
    unittest.main()
