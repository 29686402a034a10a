"""A dark region does nothing, and the others do not notice."""

import time
import unittest

from harness import EAST, WEST, client, finished, function, invoke, lab, machine, run, wait_for

ECHO = "def handle(event): return dict(pid=os.getpid())"


def task(arn, **more):
    return {"StartAt": "Call", "States": {"Call": {"Type": "Task", "Resource": arn, **more, "End": True}}}


def switch(state, mode="kill"):
    lab("POST", "region", {"region": EAST, "state": state, "mode": mode})


def is_alive(pid):
    return any(worker["pid"] == pid for worker in lab("GET", "workers"))


class DarkRegions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.arns = {region: function("dark", ECHO, region) for region in (EAST, WEST)}
        cls.machines = {region: machine("dark", task(cls.arns[region]), region) for region in (EAST, WEST)}
        wait_then_call = {
            "StartAt": "Hold",
            "States": {"Hold": {"Type": "Wait", "Seconds": 2, "Next": "Call"}, **task(cls.arns[EAST])["States"]},
        }
        cls.slow = machine("dark-slow", wait_then_call)

    def tearDown(self):
        switch("lit")

    def started(self):
        states = client("stepfunctions")
        return states.start_execution(stateMachineArn=self.slow, input="{}")["executionArn"]

    def west_is_unaffected(self):
        began = time.monotonic()
        for _ in range(5):
            self.assertEqual(run(self.machines[WEST], region=WEST)["status"], "SUCCEEDED")
        self.assertLess(time.monotonic() - began, 5)

    def test_kill(self):
        pid = invoke("dark")["pid"]
        self.assertTrue(is_alive(pid))
        execution = self.started()
        switch("dark", "kill")
        wait_for(lambda: not is_alive(pid), 2, "the process to be gone")
        self.assertEqual(finished(execution, seconds=1)["status"], "FAILED")
        for call in (lambda: invoke("dark"), lambda: run(self.machines[EAST])):
            with self.assertRaises(client("lambda").exceptions.ClientError) as refused:
                call()
            self.assertEqual(refused.exception.response["ResponseMetadata"]["HTTPStatusCode"], 503)
        self.west_is_unaffected()
        switch("lit")
        self.assertNotEqual(invoke("dark")["pid"], pid)
        self.assertEqual(run(self.machines[EAST])["status"], "SUCCEEDED")

    def test_hang(self):
        pid = invoke("dark")["pid"]
        execution = self.started()
        switch("dark", "hang")
        self.assertTrue(is_alive(pid))
        impatient = client("lambda", EAST)
        impatient.meta.config.read_timeout = 1
        self.west_is_unaffected()
        time.sleep(2.5)  # longer than the execution's Wait: it must not have gone on
        status = client("stepfunctions").describe_execution(executionArn=execution)["status"]
        self.assertEqual(status, "RUNNING")
        switch("lit")
        self.assertEqual(finished(execution)["status"], "SUCCEEDED")
        self.assertEqual(invoke("dark")["pid"], pid)


if __name__ == "__main__":
    unittest.main()
