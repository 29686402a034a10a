"""The policies of operators allow what the command asks of AWS, and what the pages say to type, and no more."""

import re
import unittest

import botocore.session
from _path import ROOT
import template

# What the command links: its own sources, and the crates that speak with AWS for it. What hosts do has the policy of
# app.yaml.
SOURCES = ("cli/src", "shared/catalogue/src", "shared/ledger/src", "shared/parameters/src")
# What looks and changes nothing; beside it `quotas.rs` asks for all plans, of which the call is in a shared crate.
LOOKING = (
    "cli/src/doctor",
    "cli/src/doctor.rs",
    "cli/src/quotas.rs",
    "cli/src/backups.rs",
    "cli/src/plan/look.rs",
    "cli/src/cloud/watch.rs",
)
# The SDKs' names of services, where IAM has others.
SERVICES = {"sfn": "states"}
# A call is an action of its own name, but for these (S3 user guide, "Policy actions for Amazon S3").
ACTIONS = {
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
}
# Of what the shared crates can, this is of functions alone: the command deletes and holds nothing, and reads no older
# plans.
OF_FUNCTIONS = {"s3:DeleteObjects", "s3:ListObjectVersions", "s3:PutObjectLegalHold", "ssm:GetParameterHistory"}
# What STS answers to everybody (STS API reference, `GetCallerIdentity`).
FREE = {"sts:GetCallerIdentity"}
# What a call or a page needs beside its own action, and where that is said.
BESIDE = {
    "kms:Decrypt": "objects of the backup bucket are encrypted by its key",
    "kms:GenerateDataKey": "evidence is written into the same bucket",
    "s3:DeleteObject": "docs/backups.md: a hold is ended by aws s3 rm",
    "states:SendTaskSuccess": "the page of an approval: aws stepfunctions send-task-success",
    "states:SendTaskFailure": "the page of an approval: aws stepfunctions send-task-failure",
    "logs:FilterLogEvents": "docs/operating.md: the log group of a function",
}
# Commands of the AWS CLI, by the action that they take; the deployer's, who makes what the templates have, are not here.
TYPED = {
    "lambda invoke": "lambda:InvokeFunction",
    "rds describe-db-instance-automated-backups": "rds:DescribeDBInstanceAutomatedBackups",
    "rds describe-db-instances": "rds:DescribeDBInstances",
    "cloudwatch describe-alarms": "cloudwatch:DescribeAlarms",
    "s3 cp": "s3:PutObject",
    "s3 rm": "s3:DeleteObject",
    "s3api head-object": "s3:GetObject",
    "ssm describe-instance-information": "ssm:DescribeInstanceInformation",
    "ssm send-command": "ssm:SendCommand",
    "stepfunctions describe-execution": "states:DescribeExecution",
    "stepfunctions list-executions": "states:ListExecutions",
    "stepfunctions stop-execution": "states:StopExecution",
}
# Not an operator's: it makes or joins what a template has, or is about the caller's own login.
NOT_OF_OPERATORS = re.compile(
    r"(cloudformation|configure|ec2|iam|sso) |sns (publish|subscribe)|rds (create|start)-db-instance-(read|automated)"
)


def sources(places=SOURCES):
    """Each file of code in these folders, or each of these files, without its tests."""
    for place in places:
        found = ROOT / place
        for path in sorted(found.rglob("*.rs")) if found.is_dir() else [found]:
            if "test" not in path.stem and "tests" not in path.parts:
                yield path, path.read_text().split("#[cfg(test)]")[0]


def calls(places=SOURCES) -> set[str]:
    """`service:Action` of each call in the code."""
    found = set()
    for path, text in sources(places):
        services = {SERVICES.get(sdk, sdk) for sdk in re.findall(r"aws_sdk_(\w+)", text)}
        # A module of `cloud.rs` has its client from there.
        services |= {"states"} if path.match("cloud/*.rs") else set()
        for name in set(re.findall(r"\.\s*([a-z][a-z0-9_]*)\(\)", text)):
            action = "".join(word.capitalize() for word in name.split("_"))
            for service in services:
                known = _action(service, action)
                if known:
                    found.add(known)
    return found


def _action(service: str, name: str) -> str | None:
    """The action of a call of this service, as AWS writes it; none when there is no such call."""
    client = _MODELS.get(service)
    if client is None:
        names = {"states": "stepfunctions"}
        model = botocore.session.get_session().get_service_model(names.get(service, service))
        client = _MODELS[service] = {operation.lower(): operation for operation in model.operation_names}
    operation = client.get(name.lower())
    return operation and f"{service}:{operation}"


_MODELS: dict[str, dict[str, str]] = {}


def allowed() -> set[str]:
    """What the three policies allow."""
    source, found = template.transformed(str(ROOT / "infra/operators.yaml"))
    assert not found, found
    world = template.World(source, True)
    actions = set()
    for _, policy in world.of_type("AWS::IAM::ManagedPolicy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            named = statement["Action"]
            actions |= {named} if isinstance(named, str) else set(named)
    return actions


def typed() -> set[str]:
    """The commands of the AWS CLI that the runbook and the command's own messages show."""
    pages = [(ROOT / "docs" / name).read_text() for name in ("operating.md", "backups.md")]
    texts = pages + [text for _, text in sources()]
    commands = {" ".join(words) for text in texts for words in re.findall(r"\baws ([a-z0-9]+) ([a-z][a-z0-9-]+)", text)}
    return {command for command in commands if not NOT_OF_OPERATORS.match(command)}


class Operators(unittest.TestCase):
    def test_the_calls_are_found_in_the_code(self):
        found = calls()
        self.assertGreater(len(found), 25, found)
        for known in ("states:StartExecution", "cloudwatch:PutMetricAlarm", "rds:DescribeDBSnapshots", "s3:PutObject"):
            self.assertIn(known, found)

    def test_what_the_command_calls_is_allowed_and_nothing_else(self):
        found = calls()
        self.assertLessEqual(OF_FUNCTIONS, found, "no code calls these any more")
        needed = {ACTIONS.get(call, call) for call in found - OF_FUNCTIONS - FREE}
        unknown = {command for command in typed() if command not in TYPED}
        self.assertEqual(unknown, set(), "say which action these take")
        needed |= {TYPED[command] for command in typed()} | set(BESIDE)
        granted = allowed()
        self.assertEqual(needed - granted, set(), "no policy allows these")
        self.assertEqual(granted - needed, set(), "nothing asks for these")

    def test_whoever_looks_needs_the_auditors_policy_alone(self):
        found = calls(LOOKING)
        self.assertGreater(len(found), 10, found)
        source, _ = template.transformed(str(ROOT / "infra/operators.yaml"))
        auditor = dict(template.World(source, True).of_type("AWS::IAM::ManagedPolicy"))["AuditorPolicy"]
        granted = {
            action
            for statement in auditor["PolicyDocument"]["Statement"]
            if statement["Effect"] == "Allow"
            for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        }
        needed = {ACTIONS.get(call, call) for call in found - FREE} | {"ssm:GetParametersByPath"}
        self.assertEqual(needed - granted, set())

    def test_what_changes_something_is_not_the_auditors(self):
        source, _ = template.transformed(str(ROOT / "infra/operators.yaml"))
        world = template.World(source, True)
        auditor = dict(world.of_type("AWS::IAM::ManagedPolicy"))["AuditorPolicy"]
        for statement in auditor["PolicyDocument"]["Statement"]:
            for action in [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]:
                reads = re.match(r"\w+:(Describe|Filter|Get|List)", action) or action == "kms:Decrypt"
                self.assertTrue(reads, action)


if __name__ == "__main__":
    unittest.main()
