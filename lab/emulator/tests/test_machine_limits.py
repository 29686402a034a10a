"""Step Functions' and Parameter Store's quotas, at the value that still passes and at the one that does not."""

import json
import unittest
from unittest import mock

import _path  # noqa: F401
from harness import ClientError, client, finished, function, machine, run, wait_for
from lab_emulator.mends import retries
from ministack.services import stepfunctions

KIB_256 = 256 * 1024
# A JSON string of this many characters has exactly 256 KiB with its quotes.
LARGEST = KIB_256 - 2

GIVING = """
def handle(event):
    return "x" * event["length"]
"""


def jsonata(start: str, **states) -> dict:
    return {"QueryLanguage": "JSONata", "StartAt": start, "States": states}


def text_of(length: str) -> str:
    """An expression for a string of that many characters."""
    return "{% $pad('', " + length + ", 'x') %}"


class Sizes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        function("giving", GIVING, MemorySize=512)
        cls.catching = machine(
            "sized",
            jsonata(
                "Give",
                Give={
                    "Type": "Task",
                    "Resource": "arn:aws:states:::lambda:invoke",
                    "Arguments": {"FunctionName": "giving", "Payload": {"length": "{% $states.input.length %}"}},
                    "Output": "small",
                    "Catch": [{"ErrorEquals": ["States.ALL"], "Output": "caught", "Next": "Done"}],
                    "Next": "Done",
                },
                Done={"Type": "Succeed"},
            ),
        )

    def test_a_result_above_256_kib_fails_and_states_all_does_not_catch_it(self):
        # The function's answer is wrapped into StatusCode and Payload.
        self.assertEqual(run(self.catching, {"length": LARGEST - 100})["output"], '"small"')
        ended = run(self.catching, {"length": LARGEST})
        self.assertEqual((ended["status"], ended["error"]), ("FAILED", "States.DataLimitExceeded"))

    def test_it_is_caught_by_its_name(self):
        definition = jsonata(
            "Give",
            Give={
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke",
                "Arguments": {"FunctionName": "giving", "Payload": {"length": LARGEST}},
                "Catch": [{"ErrorEquals": ["States.DataLimitExceeded"], "Output": "caught", "Next": "Done"}],
                "Next": "Done",
            },
            Done={"Type": "Succeed"},
        )
        self.assertEqual(run(machine("named", definition))["output"], '"caught"')

    def test_output_of_a_state_and_variables(self):
        states = {
            "output": {"Type": "Pass", "Output": text_of("$states.input"), "End": True},
            "variable": {"Type": "Pass", "Assign": {"v": text_of("$states.input - 6")}, "Output": 1, "End": True},
        }
        for name, state in states.items():
            with self.subTest(name):
                arn = machine(f"limit-{name}", jsonata("A", A=state))
                self.assertEqual(run(arn, LARGEST)["status"], "SUCCEEDED")
                self.assertEqual(run(arn, LARGEST + 1)["error"], "States.DataLimitExceeded")

    def test_results_of_a_map_together(self):
        each = {
            "Type": "Map",
            "Items": "{% [1..$states.input] %}",
            "ItemProcessor": {
                "StartAt": "Item",
                "States": {"Item": {"Type": "Pass", "Output": text_of("100000"), "End": True}},
            },
            "Output": "small",
            "End": True,
        }
        arn = machine("together", jsonata("Each", Each=each))
        self.assertEqual(run(arn, 2)["output"], '"small"')
        self.assertEqual(run(arn, 3)["error"], "States.DataLimitExceeded")

    def test_the_input_of_an_execution(self):
        arn = machine("input", jsonata("A", A={"Type": "Succeed", "Output": 1}))
        states = client("stepfunctions")
        states.start_execution(stateMachineArn=arn, input=json.dumps("x" * LARGEST))
        with self.assertRaisesRegex(ClientError, "ValidationException"):
            states.start_execution(stateMachineArn=arn, input=json.dumps("x" * (LARGEST + 1)))


class Events(unittest.TestCase):
    def test_a_loop_ends_at_25_000_events(self):
        loop = {
            "StartAt": "Is",
            "States": {
                "Is": {
                    "Type": "Choice",
                    "Choices": [{"Variable": "$.done", "BooleanEquals": True, "Next": "Done"}],
                    "Default": "Again",
                },
                "Again": {"Type": "Pass", "Next": "Is"},
                "Done": {"Type": "Succeed"},
            },
        }
        ended = run(machine("endless", loop), {"done": False}, seconds=60)
        self.assertEqual((ended["status"], ended["error"]), ("FAILED", "States.Runtime"))
        self.assertIn("25000", ended["cause"])

    def test_states_of_items_count(self):
        # 7,000 items of one state, each begun and ended, its state entered and left.
        each = {
            "Type": "Map",
            "Items": "{% [1..7000] %}",
            "ItemProcessor": {"StartAt": "Item", "States": {"Item": {"Type": "Pass", "Output": 1, "End": True}}},
            "Output": 1,
            "End": True,
        }
        ended = run(machine("many", jsonata("Each", Each=each)), seconds=60)
        self.assertEqual((ended["status"], ended["error"]), ("FAILED", "States.Runtime"))


class InlineMap(unittest.TestCase):
    def test_forty_items_at_once(self):
        sqs, states = client("sqs"), client("stepfunctions")
        # No message comes a second time while the test runs.
        queue = sqs.create_queue(QueueName="items", Attributes={"VisibilityTimeout": "600"})["QueueUrl"]
        item = {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Arguments": {"QueueUrl": queue, "MessageBody": "{% $states.context.Task.Token %}"},
            "Output": 1,
            "End": True,
        }
        each = {
            "Type": "Map",
            "Items": "{% [1..60] %}",
            "MaxConcurrency": 0,
            "ItemProcessor": {"StartAt": "Item", "States": {"Item": item}},
            "Output": "{% $sum($states.result) %}",
            "End": True,
        }
        arn = machine("forty", jsonata("Each", Each=each))
        execution = states.start_execution(stateMachineArn=arn, input="{}")["executionArn"]
        tokens = []

        def take(wait: int) -> int:
            got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=wait).get("Messages", [])
            tokens.extend(message["Body"] for message in got)
            return len(got)

        wait_for(lambda: take(1) is not None and len(tokens) >= 40, 30, "40 items")
        self.assertEqual(take(2), 0, "an item more than 40 began")
        self.assertEqual(len(tokens), 40)
        answered = 0
        while answered < 60:
            for token in tokens[answered:]:
                states.send_task_success(taskToken=token, output="{}")
                answered += 1
            if answered < 60:
                wait_for(lambda: take(1), 30, "the next item")
        self.assertEqual(finished(execution)["output"], "60")


class Limits(unittest.TestCase):
    def test_limits_of_a_task_as_expressions(self):
        function("sleeping", "import time\ndef handle(event): time.sleep(3)")
        queue = client("sqs").create_queue(QueueName="beats")["QueueUrl"]
        tasks = {
            "States.Timeout": {
                "Resource": "arn:aws:states:::lambda:invoke",
                "Arguments": {"FunctionName": "sleeping"},
                "TimeoutSeconds": "{% $states.input.limit %}",
            },
            "States.HeartbeatTimeout": {
                "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                "Arguments": {"QueueUrl": queue, "MessageBody": "{% $states.context.Task.Token %}"},
                "TimeoutSeconds": 20,
                "HeartbeatSeconds": "{% $states.input.limit %}",
            },
        }
        for error, task in tasks.items():
            with self.subTest(error):
                arn = machine(error.replace(".", "-"), jsonata("Call", Call={"Type": "Task", **task, "End": True}))
                self.assertEqual(run(arn, {"limit": 1}, seconds=10)["error"], error)


class Retries(unittest.TestCase):
    def test_a_wait_above_a_minute_is_waited_whole(self):
        retry = {"ErrorEquals": ["A"], "IntervalSeconds": 100, "BackoffRate": 3, "MaxDelaySeconds": 500}
        find = retries._with_delay(stepfunctions._find_matching_retrier)
        for attempt, whole in ((0, 100), (1, 300), (2, 500)):
            with mock.patch.object(stepfunctions, "_scaled_sleep") as sleep:
                found, _ = find([retry], "A", {0: attempt})
                waited = sum(call.args[0] for call in sleep.call_args_list)
                # ministack itself waits for what is left, at most 60 s.
                rest = found["IntervalSeconds"] * found["BackoffRate"] ** attempt
                self.assertLessEqual(rest, 60)
                self.assertEqual(waited + rest, whole)


class Parameters(unittest.TestCase):
    def put(self, name: str, length: int, **options):
        return client("ssm").put_parameter(Name=name, Value="x" * length, Type="String", Overwrite=True, **options)

    def test_a_value_of_each_tier(self):
        for tier, limit in (("Standard", 4096), ("Advanced", 8192), ("Intelligent-Tiering", 8192)):
            with self.subTest(tier):
                self.put(f"/sized/{tier}", limit, Tier=tier)
                with self.assertRaisesRegex(ClientError, "ValidationException.*maximum parameter value"):
                    self.put(f"/sized/{tier}", limit + 1, Tier=tier)
        with self.assertRaises(ClientError):
            self.put("/sized/none", 4097)
        self.assertEqual(self.put("/sized/grown", 4097, Tier="Intelligent-Tiering")["Tier"], "Advanced")

    def test_bytes_count_and_a_tier_stays(self):
        with self.assertRaises(ClientError):
            client("ssm").put_parameter(Name="/sized/wide", Value="é" * 4096, Type="String")
        self.put("/sized/up", 10, Tier="Advanced")
        with self.assertRaisesRegex(ClientError, "cannot become a standard one"):
            self.put("/sized/up", 10, Tier="Standard")


if __name__ == "__main__":
    unittest.main()
