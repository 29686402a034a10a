"""EventBridge Scheduler and rules: when they fire, and how they invoke."""

import json
import os
import tempfile
import time
import unittest
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from harness import ALL, EAST, client, function, lab, machine, role, wait_for

PASS = {"StartAt": "Keep", "States": {"Keep": {"Type": "Pass", "End": True}}}
FAIL_ONCE = """
def handle(event):
    try:
        os.mkdir(event["directory"])
    except FileExistsError:
        os.mkdir(event["directory"] + "/again")
        return
    raise Named("Transient")
"""


class Schedules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.role = role("schedules", ALL)

    def schedule(self, name, expression, target, **options):
        client("scheduler").create_schedule(
            Name=name,
            ScheduleExpression=expression,
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": target, "RoleArn": self.role, "Input": '{"by":"clock"}'},
            **options,
        )
        self.addCleanup(self.delete, name)

    def delete(self, name):
        scheduler = client("scheduler")
        try:
            scheduler.delete_schedule(Name=name)
        except scheduler.exceptions.ResourceNotFoundException:
            pass

    def runs(self, arn):
        return client("stepfunctions").list_executions(stateMachineArn=arn)["executions"]

    def test_rate_fires_at_once_and_at_follows_its_time_zone(self):
        rate, at, later = (machine(name, PASS) for name in ("by-rate", "by-at", "by-at-later"))
        self.schedule("rate", "rate(1 minute)", rate)
        tokyo = datetime.now(ZoneInfo("Asia/Tokyo"))
        for name, target, moment in (
            ("at", at, tokyo + timedelta(seconds=2)),
            ("later", later, tokyo + timedelta(hours=1)),
        ):
            expression = f"at({moment:%Y-%m-%dT%H:%M:%S})"
            self.schedule(
                name, expression, target, ScheduleExpressionTimezone="Asia/Tokyo", ActionAfterCompletion="DELETE"
            )
        wait_for(lambda: self.runs(rate), 5, "the first run of the rate schedule")
        wait_for(lambda: self.runs(at), 6, "the one-time schedule")
        time.sleep(1.5)
        self.assertEqual([len(self.runs(arn)) for arn in (rate, at, later)], [1, 1, 0])
        remaining = [entry["Name"] for entry in client("scheduler").list_schedules()["Schedules"]]
        self.assertEqual(sorted(remaining), ["later", "rate"])

    def test_dark_region_misses_a_run(self):
        arn = machine("by-rate-dark", PASS)
        lab("POST", "region", {"region": EAST, "state": "dark", "mode": "hang"})
        self.addCleanup(lab, "POST", "region", {"region": EAST, "state": "lit"})
        self.schedule("rate-dark", "rate(1 minute)", arn)
        time.sleep(2.5)
        lab("POST", "region", {"region": EAST, "state": "lit"})
        time.sleep(1.5)
        self.assertEqual(self.runs(arn), [])

    def test_rule_retries_its_function(self):
        parent = tempfile.TemporaryDirectory()
        self.addCleanup(parent.cleanup)
        directory = os.path.join(parent.name, "tried")
        arn = function("fails-once", FAIL_ONCE, role_arn=role("fails-once-role"))
        events = client("events")
        rule = events.put_rule(Name="retry", EventPattern=json.dumps({"source": ["test.retry"]}))["RuleArn"]
        client("lambda").add_permission(
            FunctionName="fails-once",
            StatementId="rule",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=rule,
        )
        events.put_targets(
            Rule="retry", Targets=[{"Id": "f", "Arn": arn, "Input": json.dumps({"directory": directory})}]
        )
        events.put_events(Entries=[{"Source": "test.retry", "DetailType": "x", "Detail": "{}"}])
        wait_for(lambda: os.path.isdir(directory + "/again"), 6, "the second try")


if __name__ == "__main__":
    unittest.main()
