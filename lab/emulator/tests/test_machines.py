"""State machines: what a function's error is called, and how executions end."""

import json
import time
import unittest

from harness import client, finished, function, invoke, machine, role, run, wait_for


class Errors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.arn = function("fail", 'def handle(event): raise Named(event["name"], "because")')

    def test_error_name_is_matched_and_cause_is_json(self):
        definition = {
            "StartAt": "Call",
            "States": {
                "Call": {
                    "Type": "Task",
                    "Resource": self.arn,
                    "Catch": [{"ErrorEquals": ["NotReady"], "Next": "Caught"}],
                    "End": True,
                },
                "Caught": {"Type": "Pass", "End": True},
            },
        }
        arn = machine("errors", definition)
        caught = json.loads(run(arn, {"name": "NotReady"})["output"])
        self.assertEqual(caught["Error"], "NotReady")
        self.assertEqual(json.loads(caught["Cause"]), {"errorType": "NotReady", "errorMessage": "because"})
        failed = run(arn, {"name": "StaleEpoch"})
        self.assertEqual((failed["status"], failed["error"]), ("FAILED", "StaleEpoch"))

    def test_a_function_that_fails_fails_its_callback_task(self):
        definition = {
            "StartAt": "Ask",
            "States": {
                "Ask": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
                    "Parameters": {"FunctionName": self.arn, "Payload": {"name": "Refused", "t.$": "$$.Task.Token"}},
                    "TimeoutSeconds": 30,
                    "End": True,
                }
            },
        }
        self.assertEqual(run(machine("callback", definition), seconds=5)["error"], "Refused")

    def test_throttle_has_its_name(self):
        function("none", "def handle(event): return {}", role_arn="arn:aws:iam::000000000000:role/function-fail-us-east-1")
        client("lambda").put_function_concurrency(FunctionName="none", ReservedConcurrentExecutions=0)
        definition = {
            "StartAt": "Call",
            "States": {
                "Call": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::lambda:invoke",
                    "Parameters": {"FunctionName": "none"},
                    "End": True,
                }
            },
        }
        self.assertEqual(run(machine("throttled", definition))["error"], "Lambda.TooManyRequestsException")

    def test_max_delay_bounds_the_backoff(self):
        retry = {
            "ErrorEquals": ["States.ALL"],
            "IntervalSeconds": 1,
            "BackoffRate": 30,
            "MaxDelaySeconds": 1,
            "MaxAttempts": 3,
            "JitterStrategy": "FULL",
        }
        definition = {
            "StartAt": "Call",
            "States": {"Call": {"Type": "Task", "Resource": self.arn, "Retry": [retry], "End": True}},
        }
        began = time.monotonic()
        self.assertEqual(run(machine("backoff", definition), {"name": "Transient"})["status"], "FAILED")
        self.assertLess(time.monotonic() - began, 4)


class Definitions(unittest.TestCase):
    """That the rules are asked; each rule has its own test in test_asl.py."""

    BAD = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "Nope"}}})
    GOOD = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})

    def test_a_bad_definition_is_refused_at_creation_and_change(self):
        states = client("stepfunctions")
        message = "'MISSING_TRANSITION_TARGET: .*/States/A/Next"
        with self.assertRaisesRegex(states.exceptions.InvalidDefinition, message):
            states.create_state_machine(name="faulty", definition=self.BAD, roleArn=role("faulty"))
        arn = machine("changed", json.loads(self.GOOD))
        with self.assertRaises(states.exceptions.InvalidDefinition):
            states.update_state_machine(stateMachineArn=arn, definition=self.BAD)
        self.assertEqual(states.describe_state_machine(stateMachineArn=arn)["definition"], self.GOOD)

    def test_a_stack_with_a_bad_definition_fails(self):
        resource = {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {"StateMachineName": "stacked", "RoleArn": role("stacked"), "DefinitionString": self.BAD},
        }
        stacks = client("cloudformation")
        stacks.create_stack(StackName="bad-machine", TemplateBody=json.dumps({"Resources": {"Machine": resource}}))

        def ended():
            status = stacks.describe_stacks(StackName="bad-machine")["Stacks"][0]["StackStatus"]
            return status if not status.endswith("_IN_PROGRESS") else None

        self.assertEqual(wait_for(ended, 10, "the stack to end"), "ROLLBACK_COMPLETE")
        events = stacks.describe_stack_events(StackName="bad-machine")["StackEvents"]
        self.assertIn("MISSING_TRANSITION_TARGET", json.dumps(events, default=str))

    def test_validation_lists_what_is_wrong(self):
        states = client("stepfunctions")
        self.assertEqual(states.validate_state_machine_definition(definition=self.GOOD)["result"], "OK")
        answer = states.validate_state_machine_definition(definition=self.BAD)
        self.assertEqual((answer["result"], answer["truncated"]), ("FAIL", False))
        first = answer["diagnostics"][0]
        self.assertEqual((first["severity"], first["code"]), ("ERROR", "MISSING_TRANSITION_TARGET"))
        self.assertEqual(first["location"], "/States/A/Next")
        short = states.validate_state_machine_definition(definition=self.BAD, maxResults=1)
        self.assertEqual((len(short["diagnostics"]), short["truncated"]), (1, True))


class Jsonata(unittest.TestCase):
    def test_assign_parallel_and_succeed(self):
        def branch(name):
            states = {
                name: {"Type": "Pass", "Assign": {"own": name}, "Next": f"{name}Wait"},
                f"{name}Wait": {"Type": "Wait", "Seconds": 0, "Next": f"{name}End"},
                f"{name}End": {"Type": "Succeed", "Output": "{% $states.context.State.Name & $states.input.x & $own %}"},
            }
            return {"StartAt": name, "States": states}

        definition = {
            "QueryLanguage": "JSONata",
            "StartAt": "Set",
            "States": {
                "Set": {"Type": "Pass", "Assign": {"a": 1, "b": 2}, "Next": "Swap"},
                "Swap": {"Type": "Pass", "Assign": {"a": "{% $b %}", "b": "{% $a %}"}, "Next": "Both"},
                "Both": {
                    "Type": "Parallel",
                    "Arguments": {"x": "-"},
                    "Branches": [branch("L"), branch("R")],
                    "Assign": {"both": "{% $states.result %}"},
                    "Output": "{% $states.result[0] %}",
                    "Next": "Done",
                },
                "Done": {
                    "Type": "Succeed",
                    "Output": {"a": "{% $a %}", "b": "{% $b %}", "both": "{% $both %}", "in": "{% $states.input %}"},
                },
            },
        }
        output = json.loads(run(machine("jsonata", definition))["output"])
        self.assertEqual(output, {"a": 2, "b": 1, "both": ["LEnd-L", "REnd-R"], "in": "LEnd-L"})


class Ends(unittest.TestCase):
    def wait_machine(self, name, seconds, **more):
        return machine(
            name, {"StartAt": "Hold", "States": {"Hold": {"Type": "Wait", "Seconds": seconds, "End": True}}, **more}
        )

    def test_machine_timeout(self):
        ended = run(self.wait_machine("limit", 30, TimeoutSeconds=1))
        self.assertEqual((ended["status"], ended["error"]), ("TIMED_OUT", "States.Timeout"))

    def test_starting_twice_is_once(self):
        arn = self.wait_machine("twice", 1)
        states = client("stepfunctions")
        first, second = (
            states.start_execution(stateMachineArn=arn, name="incident", input='{"a":1}')["executionArn"]
            for _ in range(2)
        )
        self.assertEqual(first, second)
        with self.assertRaises(states.exceptions.ExecutionAlreadyExists):
            states.start_execution(stateMachineArn=arn, name="incident", input='{"a":2}')
        finished(first)
        with self.assertRaises(states.exceptions.ExecutionAlreadyExists):
            states.start_execution(stateMachineArn=arn, name="incident", input='{"a":1}')

    def test_heartbeat(self):
        queue = client("sqs").create_queue(QueueName="tokens")["QueueUrl"]
        definition = {
            "StartAt": "Ask",
            "States": {
                "Ask": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                    "HeartbeatSeconds": 1,
                    "Parameters": {"QueueUrl": queue, "MessageBody": {"token.$": "$$.Task.Token"}},
                    "End": True,
                }
            },
        }
        arn = machine("heartbeat", definition)
        self.assertEqual(run(arn)["error"], "States.HeartbeatTimeout")

        states = client("stepfunctions")
        client("sqs").purge_queue(QueueUrl=queue)
        execution = states.start_execution(stateMachineArn=arn, input="{}")["executionArn"]
        received = wait_for(lambda: client("sqs").receive_message(QueueUrl=queue).get("Messages"), 5, "the token")
        token = json.loads(received[0]["Body"])["token"]
        for _ in range(4):
            states.send_task_heartbeat(taskToken=token)
            time.sleep(0.4)
        states.send_task_success(taskToken=token, output='{"approved":true}')
        self.assertEqual(json.loads(finished(execution)["output"]), {"approved": True})

    def test_failed_branch_stops_its_siblings(self):
        branches = [
            {"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "Refused"}}},
            {"StartAt": "Hold", "States": {"Hold": {"Type": "Wait", "Seconds": 30, "End": True}}},
        ]
        both = {"Type": "Parallel", "Branches": branches, "End": True}
        arn = machine("siblings", {"StartAt": "Both", "States": {"Both": both}})
        self.assertEqual(run(arn, seconds=3)["error"], "Refused")

    def test_redrive_continues_at_the_failed_state(self):
        counting = function("count", COUNTING)
        definition = {
            "StartAt": "Before",
            "States": {
                "Before": {"Type": "Pass", "Result": {"kept": 1}, "Next": "Call"},
                "Call": {"Type": "Task", "Resource": counting, "Next": "After"},
                "After": {"Type": "Pass", "End": True},
            },
        }
        states = client("stepfunctions")
        failed = run(machine("redrive", definition))
        self.assertEqual((failed["status"], failed["redriveStatus"]), ("FAILED", "REDRIVABLE"))
        states.redrive_execution(executionArn=failed["executionArn"])
        ended = finished(failed["executionArn"])
        self.assertEqual((ended["status"], ended["redriveCount"]), ("SUCCEEDED", 1))
        self.assertEqual(json.loads(ended["output"]), {"kept": 1, "calls": 2})

    def test_what_was_stopped_is_redriven_once_with_its_variables(self):
        function("slowly", "import time\ndef handle(event): time.sleep(1)")
        definition = {
            "QueryLanguage": "JSONata",
            "StartAt": "Set",
            "States": {
                "Set": {"Type": "Pass", "Assign": {"kept": 7}, "Next": "Call"},
                "Call": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::lambda:invoke",
                    "Arguments": {"FunctionName": "slowly", "Payload": {}},
                    "Assign": {"called": "{% $states.context.Execution.RedriveCount %}"},
                    "Next": "After",
                },
                "After": {"Type": "Succeed", "Output": {"kept": "{% $kept %}", "called": "{% $called %}"}},
            },
        }
        states = client("stepfunctions")
        execution = states.start_execution(stateMachineArn=machine("stopped", definition), input="{}")["executionArn"]

        def entered(name):
            events = states.get_execution_history(executionArn=execution)["events"]
            return [event for event in events if event.get("stateEnteredEventDetails", {}).get("name") == name]

        wait_for(lambda: entered("Call"), 5, "the task")
        states.stop_execution(executionArn=execution)
        states.redrive_execution(executionArn=execution)
        ended = finished(execution)
        # The run that was stopped is in its task still, and must neither end the execution nor go on.
        self.assertEqual(json.loads(ended["output"]), {"kept": 7, "called": 1})
        time.sleep(1.5)
        self.assertEqual(len(entered("After")), 1)

    def test_event_invocation_does_not_wait(self):
        function("sleepy", "import time\ndef handle(event): time.sleep(3)")
        definition = {
            "StartAt": "Call",
            "States": {
                "Call": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::lambda:invoke",
                    "Parameters": {"FunctionName": "sleepy", "InvocationType": "Event", "Payload": {}},
                    "End": True,
                }
            },
        }
        ended = run(machine("event", definition), seconds=2)
        self.assertEqual(json.loads(ended["output"])["StatusCode"], 202)


COUNTING = """
calls = 0
def handle(event):
    global calls
    calls += 1
    if calls == 1:
        raise Named("Transient")
    return {**event, "calls": calls}
"""

EMBEDDED = """
def handle(event):
    print(json.dumps({"_aws": {"Timestamp": %d, "CloudWatchMetrics": [{"Namespace": "Emf",
        "Dimensions": [["app"]], "Metrics": [{"Name": "Lag", "Unit": "Bytes"}]}]}, "app": "queue", "Lag": 42}), flush=True)
"""


class Metrics(unittest.TestCase):
    def test_embedded_metric_and_invocations(self):
        function("emf", EMBEDDED % (time.time() * 1000))
        invoke("emf")
        cloudwatch = client("cloudwatch")

        def value(namespace, name, dimension, value):
            now = time.time()
            points = cloudwatch.get_metric_statistics(
                Namespace=namespace,
                MetricName=name,
                Dimensions=[{"Name": dimension, "Value": value}],
                StartTime=now - 60,
                EndTime=now + 60,
                Period=60,
                Statistics=["Sum"],
            )["Datapoints"]
            return sum(point["Sum"] for point in points)

        wait_for(lambda: value("Emf", "Lag", "app", "queue") == 42, 3, "the embedded metric")
        self.assertEqual(value("AWS/Lambda", "Invocations", "FunctionName", "emf"), 1)


if __name__ == "__main__":
    unittest.main()
