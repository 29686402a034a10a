"""A dark region does nothing, and the others do not notice."""

import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from harness import ALL, EAST, WEST, client, finished, function, invoke, lab, machine, role, run, wait_for

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
        function("dark-busy", "import time\ndef handle(event): time.sleep(1); return 'done'")
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

    def test_replication_to_a_dark_region_waits(self):
        buckets = {EAST: "dark-copy", WEST: "dark-source"}
        for region, bucket in buckets.items():
            constraint = {} if region == EAST else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            client("s3", region).create_bucket(Bucket=bucket, **constraint)
            client("s3", region).put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        source, copy = client("s3", WEST), client("s3", EAST)
        rule = {
            "Status": "Enabled",
            "Priority": 1,
            "Filter": {"Prefix": ""},
            "DeleteMarkerReplication": {"Status": "Disabled"},
            "Destination": {"Bucket": "arn:aws:s3:::dark-copy"},
        }
        source.put_bucket_replication(
            Bucket="dark-source",
            ReplicationConfiguration={"Role": role("dark-replication", ALL), "Rules": [rule]},
        )
        switch("dark", "kill")
        version = source.put_object(Bucket="dark-source", Key="dump", Body=b"x")["VersionId"]
        self.assertEqual(source.head_object(Bucket="dark-source", Key="dump")["ReplicationStatus"], "PENDING")
        self.assertNotIn("Contents", copy.list_objects_v2(Bucket="dark-copy"))
        switch("lit")
        self.assertEqual(copy.get_object(Bucket="dark-copy", Key="dump")["Body"].read(), b"x")
        for named in ({}, {"VersionId": version}):
            status = source.head_object(Bucket="dark-source", Key="dump", **named)["ReplicationStatus"]
            self.assertEqual(status, "COMPLETED")

    def test_hang(self):
        pid = invoke("dark")["pid"]
        execution = self.started()
        switch("dark", "hang")
        self.assertTrue(is_alive(pid))
        with ThreadPoolExecutor(max_workers=8) as callers:
            hanging = [callers.submit(invoke, "dark") for _ in range(8)]
            self.west_is_unaffected()
            time.sleep(2.5)  # longer than the execution's Wait: it must not have gone on
            status = client("stepfunctions").describe_execution(executionArn=execution)["status"]
            self.assertEqual((status, any(call.done() for call in hanging)), ("RUNNING", False))
            switch("lit")
            self.assertEqual(finished(execution)["status"], "SUCCEEDED")
            self.assertIn(pid, [call.result()["pid"] for call in hanging])

    def test_frozen_function_goes_on(self):
        with ThreadPoolExecutor(max_workers=1) as caller:
            slow = caller.submit(invoke, "dark-busy")
            wait_for(lambda: any(w["function"] == "dark-busy" for w in lab("GET", "workers")), 5, "the process")
            switch("dark", "hang")
            time.sleep(2)
            self.assertFalse(slow.done())
            switch("lit")
            self.assertEqual(slow.result(timeout=5), "done")


if __name__ == "__main__":
    unittest.main()
