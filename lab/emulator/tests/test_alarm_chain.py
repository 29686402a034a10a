"""A metric with one set of dimensions moves one alarm, whose change starts a state machine."""

import json
import time
import unittest

from harness import ALL, EAST, client, finished, function, machine, role, wait_for

PASS = {"StartAt": "Keep", "States": {"Keep": {"Type": "Pass", "End": True}}}


class AlarmChain(unittest.TestCase):
    def alarm(self, name, site, **options):
        client("cloudwatch").put_metric_alarm(
            AlarmName=name,
            Namespace="Chain",
            MetricName="Failures",
            Dimensions=[{"Name": "site", "Value": site}],
            Statistic="Sum",
            Period=10,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
            **options,
        )

    def states(self):
        alarms = client("cloudwatch").describe_alarms(
            AlarmNamePrefix="chain-", AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        every = alarms["MetricAlarms"] + alarms["CompositeAlarms"]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in every}

    def put(self, site, value, ages, resolution=1):
        now = time.time()
        client("cloudwatch").put_metric_data(
            Namespace="Chain",
            MetricData=[
                {
                    "MetricName": "Failures",
                    "Dimensions": [{"Name": "site", "Value": site}],
                    "Timestamp": now - age,
                    "Value": value,
                    "StorageResolution": resolution,
                }
                for age in ages
            ],
        )

    def test_dimensions_m_of_n_and_missing_data_to_a_state_machine(self):
        events = client("events")
        states = client("stepfunctions")
        arn = machine("chain", PASS)
        pattern = {
            "source": ["aws.cloudwatch"],
            "detail-type": ["CloudWatch Alarm State Change"],
            "detail": {"alarmName": ["chain-a"], "state": {"value": ["ALARM"]}},
        }
        events.put_rule(Name="chain", EventPattern=json.dumps(pattern))
        events.put_targets(Rule="chain", Targets=[{"Id": "m", "Arn": arn, "RoleArn": role("chain-rule", ALL)}])

        self.put("a", 1, (12, 32))  # two of the last three or four closed periods
        self.put("b", 0, (12, 22, 32, 42))
        self.put("coarse", 1, (12, 22, 32, 42), resolution=60)
        self.alarm("chain-a", "a", EvaluationPeriods=4, DatapointsToAlarm=2, TreatMissingData="notBreaching")
        self.alarm("chain-b", "b", EvaluationPeriods=4, DatapointsToAlarm=2, TreatMissingData="notBreaching")
        self.alarm("chain-coarse", "coarse", EvaluationPeriods=4, DatapointsToAlarm=3, TreatMissingData="notBreaching")
        self.alarm("chain-silent", "nobody", EvaluationPeriods=1, TreatMissingData="breaching")
        client("cloudwatch").put_composite_alarm(
            AlarmName="chain-both", AlarmRule='ALARM("chain-a") AND ALARM("chain-silent")'
        )

        wait_for(lambda: self.states()["chain-both"] == "ALARM", 25, "the composite alarm")
        self.assertEqual(
            self.states(),
            {
                "chain-a": "ALARM",
                "chain-b": "OK",
                "chain-coarse": "OK",
                "chain-silent": "ALARM",
                "chain-both": "ALARM",
            },
        )
        started = wait_for(lambda: states.list_executions(stateMachineArn=arn)["executions"], 5, "the execution")
        self.assertEqual(len(started), 1)
        event = json.loads(finished(started[0]["executionArn"])["output"])
        self.assertEqual(event["region"], EAST)
        self.assertEqual(event["resources"], ["arn:aws:cloudwatch:us-east-1:000000000000:alarm:chain-a"])
        detail = event["detail"]
        self.assertEqual(detail["previousState"]["value"], "INSUFFICIENT_DATA")
        self.assertEqual(json.loads(detail["state"]["reasonData"])["statistic"], "Sum")
        metric = detail["configuration"]["metrics"][0]["metricStat"]["metric"]
        self.assertEqual(metric, {"namespace": "Chain", "name": "Failures", "dimensions": {"site": "a"}})

    def test_change_reaches_a_function_and_says_what_was_before(self):
        queue = client("sqs").create_queue(QueueName="alarm-events")["QueueUrl"]
        send = [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}]
        arn = function("alarmed", FORWARD % queue, role_arn=role("alarmed", send))
        client("lambda").add_permission(
            FunctionName="alarmed",
            StatementId="alarm",
            Action="lambda:InvokeFunction",
            Principal="lambda.alarms.cloudwatch.amazonaws.com",
        )
        self.alarm("chain-function", "nobody", EvaluationPeriods=1, AlarmActions=[arn], OKActions=[arn])
        for state in ("ALARM", "OK"):
            client("cloudwatch").set_alarm_state(AlarmName="chain-function", StateValue=state, StateReason=f"to {state}")
        events = []

        def both():
            answer = client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
            events.extend(json.loads(message["Body"])["alarmData"] for message in answer.get("Messages", []))
            return len(events) == 2

        wait_for(both, 10, "two invocations")
        events.sort(key=lambda event: event["state"]["value"])
        self.assertEqual(events[1]["state"]["reason"], "to OK")
        self.assertEqual(events[1]["previousState"]["reason"], "to ALARM")
        client("cloudwatch").delete_alarms(AlarmNames=["chain-function"])


FORWARD = """
import boto3
def handle(event):
    boto3.client("sqs").send_message(QueueUrl="%s", MessageBody=json.dumps(event))
"""

if __name__ == "__main__":
    unittest.main()
