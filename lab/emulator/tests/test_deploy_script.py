"""infra/deploy.sh: whose bucket it uploads into, and what it keeps free of Lambda's quota."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from harness import client, port

ROOT = Path(__file__).resolve().parents[3]

# Stands for the AWS CLI: notes its arguments and answers from a table of what they contain.
_AWS = """#!{python}
import json, sys
words = " ".join(sys.argv[1:])
with open({log!r}, "a") as log:
    log.write(words + "\\n")
for parts, answer in json.loads({answers!r}).items():
    if all(part in words for part in parts.split("|")):
        print(answer)
        break
"""


def deploy(path: str, *regions: str, **environment: str):
    return subprocess.run(
        ["bash", str(ROOT / "infra/deploy.sh"), "x86_64", *regions],
        env={"PATH": path, "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


class DeployScript(unittest.TestCase):
    def run_with(self, unreserved: int, *regions: str, before="", status="", tags="", **environment: str):
        """What it says, and the parameters of each deployment."""
        answers = {
            "sts get-caller-identity": "000000000000\tarn:aws-us-gov:iam::000000000000:user/a",
            "lambda get-account-settings": str(unreserved),
            "cloudformation describe-stacks|Parameters": before,
            "cloudformation describe-stacks|StackStatus": status,
            "cloudformation describe-stacks|Tags": tags,
        }
        with tempfile.TemporaryDirectory() as folder:
            log, program = Path(folder, "log"), Path(folder, "aws")
            program.write_text(_AWS.format(python=sys.executable, log=str(log), answers=json.dumps(answers)))
            program.chmod(0o755)
            done = deploy(f"{folder}:/usr/bin:/bin", *regions, **environment)
            calls = log.read_text().splitlines()
        self.assertEqual(done.returncode, 0, done.stderr)
        deployments = [call for call in calls if call.startswith("cloudformation deploy")]
        return done.stderr, deployments, calls

    def test_a_strangers_bucket_gets_no_program(self):
        region = "eu-west-3"
        bucket = f"lifeboat-artifacts-000000000000-{region}"
        stranger = client("s3", key="111122223333")
        stranger.create_bucket(Bucket=bucket)
        stranger.delete_public_access_block(Bucket=bucket)
        statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:*"}
        statement["Resource"] = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        stranger.put_bucket_policy(Bucket=bucket, Policy=policy)
        done = deploy(
            f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            region,
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{port()}",
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"s3://{bucket} is not this account's", done.stderr)
        self.assertNotIn("Contents", stranger.list_objects_v2(Bucket=bucket))

    def test_every_call_to_s3_names_the_owner(self):
        _, _, calls = self.run_with(1000, "us-east-1")
        calls = [call for call in calls if call.startswith("s3api ")]
        self.assertTrue(calls)
        for call in calls:
            self.assertIn("--expected-bucket-owner 000000000000", call)

    def test_a_new_accounts_quota_keeps_nothing_free_and_says_so(self):
        said, deployments, _ = self.run_with(10, "us-east-1")
        self.assertIn("RecoveryConcurrency=0 ObserveConcurrency=0", deployments[0])
        self.assertIn("us-east-1: of Lambda's quota 10 invocations are free, and 260 are needed", said)

    def test_a_grown_quota_keeps_some_and_counts_its_own_once(self):
        for unreserved, before, kept in ((260, "", True), (259, "", False), (100, "10", False), (190, "10", True)):
            said, deployments, _ = self.run_with(unreserved, "us-east-1", before=before)
            wanted = "RecoveryConcurrency=10 ObserveConcurrency=100" if kept else "RecoveryConcurrency=0 "
            self.assertIn(wanted, deployments[0], (unreserved, before))
            self.assertEqual("Ask for the quota" in said, not kept)

    def test_options(self):
        options = {"HEALTH_CHECK_SWITCH": "ENABLED", "HOSTED_ZONES": "Z1 /hostedzone/Z2", "APPS": "queue shop"}
        _, deployments, _ = self.run_with(1000, "us-east-1", **options)
        zones = "arn:aws-us-gov:route53:::hostedzone/Z1,arn:aws-us-gov:route53:::hostedzone/Z2"
        self.assertIn(f"HealthCheckSwitch=ENABLED HostedZoneArns={zones}", deployments[0])
        self.assertEqual(len(deployments), 3)
        for app, call in zip(("queue", "shop"), deployments[1:]):
            self.assertIn(f"--stack-name lifeboat-app-{app}", call)
            self.assertIn(f"App={app}", call)
        _, deployments, _ = self.run_with(1000, "us-east-1")
        self.assertNotIn("HealthCheckSwitch", deployments[0])
        self.assertEqual(len(deployments), 1)

    def test_what_a_failed_first_creation_left_goes_first(self):
        said, _, calls = self.run_with(1000, "us-east-1", status="ROLLBACK_COMPLETE")
        stack = "--stack-name lifeboat"
        order = [call for call in calls if stack in call and "describe-stacks" not in call]
        self.assertEqual([call.split()[1] for call in order], ["delete-stack", "wait", "deploy"])
        for status in ("UPDATE_ROLLBACK_COMPLETE", "CREATE_COMPLETE", ""):
            _, _, calls = self.run_with(1000, "us-east-1", status=status)
            self.assertFalse([call for call in calls if "delete-stack" in call], status)

    def test_tags_and_environment_stay_unless_they_are_given(self):
        _, deployments, _ = self.run_with(1000, "us-east-1", tags="cost=dr\nteam=ops", APPS="queue")
        for call in deployments:
            self.assertIn("--tags cost=dr team=ops", call)
            self.assertNotIn("Environment=", call)
        _, deployments, _ = self.run_with(1000, "us-east-1", TAGS="a=b c=d", ENVIRONMENT="test", APPS="queue")
        self.assertIn("Environment=test", deployments[0])
        for call in deployments:
            self.assertIn("--tags a=b c=d", call)
        _, deployments, _ = self.run_with(1000, "us-east-1")
        self.assertNotIn("--tags", deployments[0])


if __name__ == "__main__":
    unittest.main()
