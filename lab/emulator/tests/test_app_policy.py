"""infra/app.yaml as it deploys: the hosts of one app have nothing of another one."""

import unittest
from pathlib import Path

from harness import EAST, ClientError, client, role, wait_for

ROOT = Path(__file__).resolve().parents[3]
ACCOUNT = "000000000000"
LEDGER, BACKUPS, EXPORTS = (f"lifeboat-{kind}-{ACCOUNT}-{EAST}" for kind in ("ledger", "backups", "exports"))


def deploy(app: str) -> str:
    """The ARN of the policy that the stack of the app makes."""
    cloudformation = client("cloudformation")
    name = f"lifeboat-app-{app}"
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=(ROOT / "infra/app.yaml").read_text(),
        Parameters=[{"ParameterKey": "App", "ParameterValue": app}],
        Capabilities=["CAPABILITY_IAM"],
    )

    def made():
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        return stack if not stack["StackStatus"].endswith("_IN_PROGRESS") else None

    stack = wait_for(made, 20, f"stack {name}")
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    return next(out["OutputValue"] for out in stack["Outputs"] if out["OutputKey"] == "HostPolicyArn")


class AppPolicy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        s3, ssm, iam = client("s3"), client("ssm"), client("iam")
        for bucket in (LEDGER, BACKUPS, EXPORTS):
            s3.create_bucket(Bucket=bucket)
        # The names are such that one begins with the other.
        for app in ("queue", "queue-2"):
            ssm.put_parameter(Name=f"/lifeboat/plans/{app}", Value="{}", Type="String")
            for secret in ("database", "slack-webhook"):
                ssm.put_parameter(Name=f"/lifeboat/secrets/{app}/{secret}", Value="x", Type="SecureString")
            s3.put_object(Bucket=LEDGER, Key=f"control/{app}.json", Body=b"{}")
            s3.put_object(Bucket=BACKUPS, Key=f"artifacts/{app}/config/a", Body=b"x")
            s3.put_object(Bucket=EXPORTS, Key=f"lifeboat-{app}-20261124t120000z-0001.rdb", Body=b"x")
        cls.of = {}
        for app in ("queue", "queue-2"):
            arn = role(f"host-of-{app}")
            iam.attach_role_policy(RoleName=f"host-of-{app}", PolicyArn=deploy(app))
            given = client("sts").assume_role(RoleArn=arn, RoleSessionName="i-1")["Credentials"]
            keys = {"key": given["AccessKeyId"], "secret": given["SecretAccessKey"], "token": given["SessionToken"]}
            cls.of[app] = (client("ssm", **keys), client("s3", **keys))

    def denied(self, call, **arguments):
        with self.assertRaises(ClientError) as refusal:
            call(**arguments)
        self.assertIn("AccessDenied", refusal.exception.response["Error"]["Code"])

    def test_each_has_its_own(self):
        for app, (ssm, s3) in self.of.items():
            ssm.get_parameter(Name=f"/lifeboat/plans/{app}")
            ssm.get_parameter(Name=f"/lifeboat/secrets/{app}/database", WithDecryption=True)
            s3.get_object(Bucket=LEDGER, Key=f"control/{app}.json")
            s3.get_object(Bucket=BACKUPS, Key=f"artifacts/{app}/config/a")
            s3.put_object(Bucket=BACKUPS, Key=f"artifacts/{app}/config/b", Body=b"x")
            s3.get_object(Bucket=EXPORTS, Key=f"lifeboat-{app}-20261124t120000z-0001.rdb")

    def test_nothing_of_the_other_and_no_other_secret(self):
        for app, other in (("queue", "queue-2"), ("queue-2", "queue")):
            ssm, s3 = self.of[app]
            self.denied(ssm.get_parameter, Name=f"/lifeboat/plans/{other}")
            self.denied(ssm.get_parameter, Name=f"/lifeboat/secrets/{other}/database", WithDecryption=True)
            self.denied(ssm.get_parameter, Name=f"/lifeboat/secrets/{app}/slack-webhook", WithDecryption=True)
            self.denied(s3.get_object, Bucket=LEDGER, Key=f"control/{other}.json")
            self.denied(s3.get_object, Bucket=BACKUPS, Key=f"artifacts/{other}/config/a")
            self.denied(s3.put_object, Bucket=BACKUPS, Key=f"artifacts/{other}/config/b", Body=b"x")
            self.denied(s3.get_object, Bucket=EXPORTS, Key=f"lifeboat-{other}-20261124t120000z-0001.rdb")
            self.denied(s3.put_object, Bucket=LEDGER, Key=f"control/{app}.json", Body=b"{}")

    def test_the_name_of_an_app_can_hold_no_wildcard(self):
        pattern = "AllowedPattern: \"^[a-z]([a-z0-9]|-[a-z0-9]){1,30}$\""
        self.assertIn(pattern, (ROOT / "infra/app.yaml").read_text())


if __name__ == "__main__":
    unittest.main()
