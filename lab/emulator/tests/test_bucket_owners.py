"""A bucket of our name that is somebody else's."""

import unittest

from harness import ClientError, client

OURS, STRANGER = "000000000000", "111122223333"


class BucketOwners(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # An access key of twelve digits is the root of that account.
        cls.stranger = client("s3", key=STRANGER)
        cls.bucket = "lifeboat-ledger-000000000000-eu-west-1"
        cls.stranger.create_bucket(Bucket=cls.bucket)
        # The trap: the stranger lets everybody write, so that nothing else would refuse.
        cls.stranger.delete_public_access_block(Bucket=cls.bucket)
        cls.stranger.put_bucket_policy(
            Bucket=cls.bucket,
            Policy=f'''{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Principal": "*", "Action": "s3:*",
                "Resource": ["arn:aws:s3:::{cls.bucket}", "arn:aws:s3:::{cls.bucket}/*"]}}]}}''',
        )
        cls.s3 = client("s3")

    def refused(self, call, **arguments):
        with self.assertRaises(ClientError) as refusal:
            call(Bucket=self.bucket, **arguments)
        answer = refusal.exception.response
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 403, answer)
        return answer["Error"]["Code"]

    def test_without_the_condition_the_trap_works(self):
        self.s3.put_object(Bucket=self.bucket, Key="control/queue.json", Body=b"{}")

    def test_every_kind_of_call_is_refused(self):
        s3, key = self.s3, {"Key": "control/queue.json"}
        for call, arguments in (
            (s3.put_object, {**key, "Body": b"{}"}),
            (s3.get_object, key),
            (s3.list_objects_v2, {}),
            (s3.list_object_versions, {}),
            (s3.create_multipart_upload, key),
            (s3.delete_objects, {"Delete": {"Objects": [key]}}),
            (s3.get_bucket_versioning, {}),
        ):
            self.assertEqual(self.refused(call, **arguments, ExpectedBucketOwner=OURS), "AccessDenied")
        # The answer to a HEAD has no body, and so no code.
        self.assertEqual(self.refused(s3.head_bucket, ExpectedBucketOwner=OURS), "403")
        self.assertEqual(self.refused(s3.head_object, **key, ExpectedBucketOwner=OURS), "403")

    def test_the_owner_who_is_expected_is_served(self):
        self.s3.head_bucket(Bucket=self.bucket, ExpectedBucketOwner=STRANGER)
        self.s3.create_bucket(Bucket="our-own")
        self.s3.put_object(Bucket="our-own", Key="a", Body=b"a", ExpectedBucketOwner=OURS)

    def test_the_source_of_a_copy_is_held_to_its_owner_too(self):
        self.stranger.put_object(Bucket=self.bucket, Key="bait", Body=b"{}")
        self.s3.create_bucket(Bucket="our-copies")
        self.s3.put_object(Bucket="our-copies", Key="own", Body=b"{}")
        own = {"Bucket": "our-copies", "Key": "b", "CopySource": "our-copies/own"}
        self.s3.copy_object(**own, ExpectedSourceBucketOwner=OURS)
        copy = {"Bucket": "our-copies", "Key": "a", "CopySource": f"{self.bucket}/bait"}
        with self.assertRaises(ClientError) as refusal:
            self.s3.copy_object(**copy, ExpectedSourceBucketOwner=OURS)
        self.assertEqual(refusal.exception.response["Error"]["Code"], "AccessDenied")


if __name__ == "__main__":
    unittest.main()
