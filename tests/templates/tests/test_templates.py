"""Faults are put into the templates as they are, and found."""

import subprocess
import sys
import tempfile
import unittest
from importlib import util
from pathlib import Path

from _path import ROOT

_spec = util.spec_from_file_location("check_templates", ROOT / "tests/templates/__main__.py")
main = util.module_from_spec(_spec)
_spec.loader.exec_module(main)
TEMPLATES = sorted((ROOT / "infra").glob("*.yaml"))


class Faults(unittest.TestCase):
    def found(self, old: str, new: str, file: str = "template.yaml") -> str:
        """What is found in the template after this change."""
        text = (ROOT / "infra" / file).read_text()
        self.assertIn(old, text)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, file)
            path.write_text(text.replace(old, new, 1))
            return "\n".join(main.check(str(path)))

    def test_the_templates_are_sound(self):
        self.assertGreaterEqual(len(TEMPLATES), 3)
        for path in TEMPLATES:
            self.assertEqual(main.check(str(path)), [], path)

    def test_an_action_that_nobody_has(self):
        found = self.found("Action: ssm:GetParametersByPath", "Action: ssm:GetParameterByPath")
        self.assertIn("there is no action ssm:GetParameterByPath", found)

    def test_a_resource_of_another_form(self):
        found = self.found("Resource: !Sub \"${LedgerBucket.Arn}/log/*\"", "Resource: !GetAtt LedgerBucket.Arn")
        self.assertIn("ReadLog: s3:GetObject takes no resource of the form", found)
        found = self.found(":change/*", ":changes/*")
        self.assertIn("WaitForChange: route53:GetChange takes no resource of the form", found)

    def test_an_action_that_takes_no_resource(self):
        found = self.found(
            'Action: cloudwatch:GetMetricData\n              Resource: "*"',
            'Action: cloudwatch:GetMetricData\n              Resource: "arn:aws:cloudwatch:us-east-1:123456789012:alarm:x"',
        )
        self.assertIn('RememberVotes: cloudwatch:GetMetricData takes no resource', found)

    def test_a_resource_that_no_action_takes(self):
        found = self.found(
            "              - !Sub \"arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/lifeboat/plans/${App}\"",
            "              - !Sub \"arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:document/${App}\"",
            "app.yaml",
        )
        self.assertIn("no action takes the resource arn:aws:ssm:ap-southeast-2:123456789012:document/", found)

    def test_a_required_resource_that_no_statement_allows(self):
        found = self.found(
            '                - !Sub "arn:${AWS::Partition}:rds:${AWS::Region}:${AWS::AccountId}:og:*"\n', ""
        )
        self.assertIn("rds:RestoreDBInstanceFromDBSnapshot is refused without its resource og", found)

    def test_a_condition_key_that_is_never_set(self):
        found = self.found('"s3:if-none-match": "true"', '"s3:x-amz-acl-x": "true"')
        self.assertIn("NobodyOverwrites: s3:PutObject never carries the condition key s3:x-amz-acl-x", found)
        found = self.found("cloudwatch:PutMetricData", "cloudwatch:GetMetricData")
        self.assertIn("EmitVotes: cloudwatch:GetMetricData never carries", found)
        found = self.found('"kms:ResourceAliases"', '"kms:ResourceAlias"', "app.yaml")
        self.assertIn("never carries the condition key kms:ResourceAlias", found)

    def test_both_worlds_of_a_condition_are_read(self):
        found = self.found("            - !If\n              - HasSwitch\n              - Sid: FlipTheSwitch\n                Effect: Allow\n                Action: [\"s3:GetObject\"", "            - !If\n              - HasSwitch\n              - Sid: FlipTheSwitch\n                Effect: Allow\n                Action: [\"s3:GetObjekt\"")
        self.assertIn("FlipTheSwitch: there is no action s3:GetObjekt", found)

    def test_a_policy_near_its_limit(self):
        sid = "            - Sid: ReadPlans\n"
        lots = "".join(
            f"            - Sid: Filler{number}\n              Effect: Allow\n              Action: s3:GetObject\n"
            f"              Resource: arn:aws:s3:::{'b' * 60}/{number}\n"
            for number in range(60)
        )
        self.assertIn("its inline policies: ", self.found(sid, lots + sid))
        statements = lots.replace("            - ", "          - ").replace("              ", "            ")
        first = "          - Sid: ReadTheControlRecords\n"
        self.assertIn("of at most 6144 characters", self.found(first, statements + first, "app.yaml"))

    def test_a_wrong_file_fails_the_command(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "bad.yaml")
            path.write_text((ROOT / "infra/app.yaml").read_text().replace("s3:AbortMultipartUpload", "s3:Abort"))
            command = [sys.executable, str(ROOT / "tests/templates"), str(path)]
            done = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("there is no action s3:Abort", done.stderr)


class Lint(unittest.TestCase):
    def test_cfn_lint_reads_what_the_transform_makes(self):
        """A property that only the resource has which SAM makes, and a policy that SAM puts into a role."""
        text = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: provided.al2023
      Handler: bootstrap
      CodeUri: ../x
      LoggingConfig: { LogFormat: Bogus }
      Policies: [{ Version: "2012-10-17", Statement: [{ Effect: Allows, Action: "s3:GetObject", Resource: "*" }] }]
"""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "sam.yaml")
            path.write_text(text)
            lint = str(Path(sys.executable).parent / "cfn-lint")
            done = subprocess.run([lint, str(path)], capture_output=True, text=True)
        self.assertIn("'Bogus' is not one of ['Text', 'JSON']", done.stdout)
        self.assertIn("'Allows' is not one of ['Allow', 'Deny']", done.stdout)


if __name__ == "__main__":
    unittest.main()
