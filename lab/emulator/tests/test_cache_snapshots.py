"""ElastiCache snapshots of a real Redis, and their export into a bucket that lets the service in."""

import json
import subprocess
import tempfile
import unittest

import harness
from harness import EAST, WEST, ClientError, client

SERVICE = f"{EAST}.elasticache-snapshot.amazonaws.com"
ACTIONS = [
    "s3:PutObject",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:GetBucketAcl",
    "s3:ListMultipartUploadParts",
    "s3:ListBucketMultipartUploads",
]


def code(call, **arguments) -> str:
    """The error code that the call is refused with."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "it was done"


class CacheSnapshots(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        port = str(harness.redis_port())
        cls.redis = subprocess.Popen(
            ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", cls.folder.name],
            stdout=subprocess.DEVNULL,
        )
        cls.cli = ["redis-cli", "-p", port]
        harness.wait_for(lambda: cls.ask("PING") == "PONG", 10, "Redis to answer")
        cls.ask("SET", "ticket", "of-a-real-server")
        cls.caches = client("elasticache")
        for group in ("queue", "gone"):
            cls.caches.create_replication_group(ReplicationGroupId=group, ReplicationGroupDescription="a test's")

    @classmethod
    def tearDownClass(cls):
        cls.redis.terminate()
        cls.redis.wait()
        cls.folder.cleanup()

    @classmethod
    def ask(cls, *words: str) -> str:
        return subprocess.run([*cls.cli, *words], capture_output=True, text=True, check=False).stdout.strip()

    def bucket(self, name: str, actions: list, region: str = EAST) -> str:
        store = client("s3", region)
        place = {} if region == EAST else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        store.create_bucket(Bucket=name, **place)
        arn = f"arn:aws:s3:::{name}"
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": SERVICE},
            "Action": actions,
            "Resource": [arn, f"{arn}/*"],
        }
        if actions:
            store.put_bucket_policy(Bucket=name, Policy=json.dumps({"Statement": [statement]}))
        return name

    def status(self, name: str) -> str:
        return self.caches.describe_snapshots(SnapshotName=name)["Snapshots"][0]["SnapshotStatus"]

    def available(self, name: str) -> str:
        self.assertEqual(self.status(name), "creating")
        harness.wait_for(lambda: self.status(name) == "available", 10, "the snapshot")
        return name

    def snapshot(self, name: str) -> str:
        self.caches.create_snapshot(SnapshotName=name, ReplicationGroupId="queue")
        return self.available(name)

    def test_a_snapshot_holds_the_data_and_is_exported(self):
        tags = [{"Key": "lifeboat-app", "Value": "queue"}]
        made = self.caches.create_snapshot(SnapshotName="first", ReplicationGroupId="queue", Tags=tags)["Snapshot"]
        again = code(self.caches.create_snapshot, SnapshotName="first", ReplicationGroupId="queue")
        self.assertEqual(again, "SnapshotAlreadyExistsFault")
        self.assertEqual(code(self.caches.delete_snapshot, SnapshotName="first"), "InvalidSnapshotState")
        bucket = self.bucket("exports-first", ACTIONS)
        copy = {"SourceSnapshotName": "first", "TargetSnapshotName": "first", "TargetBucket": bucket}
        self.assertEqual(code(self.caches.copy_snapshot, **copy), "InvalidSnapshotState")
        self.available("first")
        self.assertEqual(self.caches.list_tags_for_resource(ResourceName=made["ARN"])["TagList"], tags)
        listed = self.caches.describe_snapshots(ReplicationGroupId="queue", SnapshotSource="user")["Snapshots"]
        self.assertIn(("first", 1), [(each["SnapshotName"], each["NumNodeGroups"]) for each in listed])

        self.ask("SET", "later", "not-in-it")
        self.caches.copy_snapshot(**copy)
        self.assertEqual(self.status("first"), "exporting")
        harness.wait_for(lambda: self.status("first") == "available", 10, "the export")
        content = client("s3").get_object(Bucket=bucket, Key="first-0001.rdb")["Body"].read()
        self.assertTrue(content.startswith(b"REDIS"))
        self.assertIn(b"of-a-real-server", content)
        self.assertNotIn(b"not-in-it", content)
        with self.assertRaisesRegex(ClientError, "already contains an object with key first-0001.rdb"):
            self.caches.copy_snapshot(**copy)
        self.caches.delete_snapshot(SnapshotName="first")
        self.assertEqual(code(self.caches.delete_snapshot, SnapshotName="first"), "SnapshotNotFoundFault")
        self.assertEqual(code(self.caches.copy_snapshot, **copy), "SnapshotNotFoundFault")

    def test_a_group_that_is_not_there_or_cannot_be_reached_gives_no_snapshot(self):
        absent = code(self.caches.create_snapshot, SnapshotName="x", ReplicationGroupId="absent")
        self.assertEqual(absent, "ReplicationGroupNotFoundFault")
        self.caches.create_snapshot(SnapshotName="unreached", ReplicationGroupId="gone")
        harness.wait_for(lambda: self.status("unreached") == "failed", 10, "the snapshot to fail")

    def test_an_export_needs_the_bucket_its_region_and_its_consent(self):
        name = self.snapshot("refused")
        self.bucket("exports-west", ACTIONS, WEST)
        self.bucket("exports-closed", [])
        for missing in ACTIONS:
            self.bucket(f"exports-no-{missing[3:].lower()}", [action for action in ACTIONS if action != missing])
        refusals = [("exports-absent", "does not exist"), ("exports-west", "outside of the region")]
        refusals += [("exports-closed", "has not been granted READ")]
        refusals += [(f"exports-no-{action[3:].lower()}", action) for action in ACTIONS]
        for bucket, says in refusals:
            with self.assertRaisesRegex(ClientError, says):
                self.caches.copy_snapshot(SourceSnapshotName=name, TargetSnapshotName=name, TargetBucket=bucket)
        self.assertEqual(self.status(name), "available")

    def test_iam_is_asked_for_the_snapshot_its_tags_and_the_bucket(self):
        name, bucket = self.snapshot("permitted"), self.bucket("exports-permitted", ACTIONS)
        caches = f"arn:aws:elasticache:{EAST}:000000000000"
        group = {"Effect": "Allow", "Action": "elasticache:CreateSnapshot", "Resource": f"{caches}:replicationgroup:*"}
        named = {"Effect": "Allow", "Action": "elasticache:CreateSnapshot", "Resource": f"{caches}:snapshot:ours-*"}
        copies = {"Effect": "Allow", "Action": "elasticache:CopySnapshot", "Resource": f"{caches}:snapshot:{name}"}
        objects = {"Effect": "Allow", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}
        buckets = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
        tags = [{"Key": "a", "Value": "b"}]
        copy = {"SourceSnapshotName": name, "TargetSnapshotName": name, "TargetBucket": bucket}

        def caller(who: str, *statements: dict):
            iam = client("iam")
            iam.create_user(UserName=who)
            document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            iam.put_user_policy(UserName=who, PolicyName="test", PolicyDocument=document)
            key = iam.create_access_key(UserName=who)["AccessKey"]
            return client("elasticache", key=key["AccessKeyId"], secret=key["SecretAccessKey"])

        def make(of, snapshot: str, **more) -> str:
            return code(of.create_snapshot, SnapshotName=snapshot, ReplicationGroupId="queue", **more)

        self.assertEqual(make(caller("source-alone", group), "ours-1"), "AccessDenied")
        both = caller("both", group, named)
        self.assertEqual(make(both, "theirs-1"), "AccessDenied")
        self.assertEqual(make(both, "ours-1", Tags=tags), "AccessDenied")
        self.assertEqual(make(both, "ours-1"), "it was done")
        self.assertEqual(code(both.delete_snapshot, SnapshotName="ours-1"), "AccessDenied")
        self.assertEqual(code(both.copy_snapshot, **copy), "AccessDenied")
        for statements in ([copies], [copies, objects]):
            with self.assertRaisesRegex(ClientError, "unable to validate"):
                caller(f"exports-{len(statements)}", *statements).copy_snapshot(**copy)
        self.assertEqual(code(caller("exports", copies, objects, buckets).copy_snapshot, **copy), "it was done")
        harness.wait_for(lambda: self.status(name) == "available", 10, "the export")


if __name__ == "__main__":
    unittest.main()
