"""What a backup bucket relies on: object lock, legal hold, replication, checksums, conditions and listings."""

import base64
import hashlib
import json
import unittest
from datetime import datetime, timedelta, timezone

import harness
from harness import EAST, WEST, client, lab, role

PART = b"p" * (5 << 20)

# Replication is a condition: the buckets of both regions must exist before either can replicate.
TEMPLATE = """
Parameters:
  Name: {Type: String}
  Peer: {Type: String}
  Role: {Type: String}
  Replicate: {Type: String, Default: "no"}
Conditions:
  Replicates: !Equals [!Ref Replicate, "yes"]
Resources:
  Vault:
    Type: AWS::S3::Bucket
    Properties:
      BucketName: !Ref Name
      ObjectLockEnabled: true
      ObjectLockConfiguration:
        ObjectLockEnabled: Enabled
        Rule: {DefaultRetention: {Mode: GOVERNANCE, Days: 1}}
      VersioningConfiguration: {Status: Enabled}
      BucketEncryption:
        ServerSideEncryptionConfiguration:
          - ServerSideEncryptionByDefault: {SSEAlgorithm: AES256}
      ReplicationConfiguration:
        Fn::If:
          - Replicates
          - Role: !Ref Role
            Rules:
              - Id: manifests
                Priority: 1
                Status: Enabled
                Filter: {Prefix: manifests/}
                DeleteMarkerReplication: {Status: Disabled}
                Destination: {Bucket: !Sub "arn:aws:s3:::${Peer}"}
              - Id: artifacts
                Priority: 2
                Status: Enabled
                Filter: {Prefix: artifacts/}
                DeleteMarkerReplication: {Status: Disabled}
                Destination: {Bucket: !Sub "arn:aws:s3:::${Peer}"}
              - Id: wal
                Priority: 3
                Status: Enabled
                Filter: {Prefix: wal/}
                DeleteMarkerReplication: {Status: Disabled}
                Destination: {Bucket: !Sub "arn:aws:s3:::${Peer}"}
          - !Ref AWS::NoValue
  Unrelated:
    Type: AWS::S3::Bucket
    Properties: {BucketName: !Sub "${Name}-other"}
"""

REPLICATION = [
    {
        "Effect": "Allow",
        "Action": [
            "s3:GetReplicationConfiguration",
            "s3:ListBucket",
            "s3:GetObjectVersionForReplication",
            "s3:GetObjectVersionAcl",
            "s3:GetObjectVersionTagging",
            "s3:GetObjectRetention",
            "s3:GetObjectLegalHold",
        ],
        "Resource": "*",
    },
    {
        "Effect": "Allow",
        "Action": ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"],
        "Resource": "arn:aws:s3:::backups-*/*",
    },
]


def stack(region: str, **parameters: str) -> None:
    """Create or update the region's stack of buckets, and wait."""
    cloudformation = client("cloudformation", region)
    given = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
    name = f"stack-{parameters['Name']}"
    arguments = {"StackName": name, "TemplateBody": TEMPLATE, "Parameters": given}
    try:
        cloudformation.describe_stacks(StackName=name)
        cloudformation.update_stack(**arguments)
        wanted = "stack_update_complete"
    except cloudformation.exceptions.ClientError:
        cloudformation.create_stack(**arguments)
        wanted = "stack_create_complete"
    cloudformation.get_waiter(wanted).wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})


def code(call, **arguments) -> str:
    """The error code that the call answers with, or `ok`."""
    try:
        call(**arguments)
    except harness.ClientError as error:
        return error.response["Error"]["Code"]
    return "ok"


def multipart(s3, bucket: str, key: str, parts=(PART, b"end"), create=None, complete=None) -> dict:
    """Upload in parts with SHA-256 checksums; returns the answer of the completion."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm="SHA256", **(create or {}))
    place = {"Bucket": bucket, "Key": key, "UploadId": upload["UploadId"]}
    done = []
    for number, body in enumerate(parts, 1):
        answer = s3.upload_part(**place, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256")
        done.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": answer["ChecksumSHA256"]})
    return s3.complete_multipart_upload(**place, MultipartUpload={"Parts": done}, **(complete or {}))


def assumed(name: str, statements: list, service: str = "s3", region: str = EAST):
    """A client of a session of a new role."""
    arn = role(name, statements)
    given = client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    return client(
        service, region, key=given["AccessKeyId"], secret=given["SecretAccessKey"], token=given["SessionToken"]
    )


class ObjectLock(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        stack(EAST, Name="lock-east", Peer="lock-west", Role=role("lock-replication"))
        cls.s3 = client("s3")

    def put(self, key, **options):
        return self.s3.put_object(Bucket="lock-east", Key=key, Body=b"x", **options)["VersionId"]

    def test_default_retention_of_a_put_and_of_a_multipart_upload(self):
        single = self.put("artifacts/single")
        parts = multipart(self.s3, "lock-east", "artifacts/parts")["VersionId"]
        for key, version in (("artifacts/single", single), ("artifacts/parts", parts)):
            head = self.s3.head_object(Bucket="lock-east", Key=key)
            self.assertEqual(head.get("ObjectLockMode"), "GOVERNANCE", key)
            left = head["ObjectLockRetainUntilDate"] - datetime.now(timezone.utc)
            self.assertAlmostEqual(left.total_seconds(), 86400, delta=60)
            version = {"Bucket": "lock-east", "Key": key, "VersionId": version}
            self.assertEqual(code(self.s3.delete_object, **version), "AccessDenied")
            self.assertEqual(
                self.s3.get_object_retention(**version)["Retention"]["Mode"], "GOVERNANCE"
            )

    def test_the_lock_that_an_upload_names_wins_over_the_default(self):
        until = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=9)
        lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until, "ObjectLockLegalHoldStatus": "ON"}
        self.put("named/single", **lock)
        multipart(self.s3, "lock-east", "named/parts", create=lock)
        for key in ("named/single", "named/parts"):
            head = self.s3.head_object(Bucket="lock-east", Key=key)
            found = head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate"), head.get("ObjectLockLegalHoldStatus")
            self.assertEqual(found, ("COMPLIANCE", until, "ON"), key)

    def test_a_lock_must_be_whole_and_end_in_the_future(self):
        now = datetime.now(timezone.utc)
        for lock in (
            {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": now - timedelta(seconds=5)},
            {"ObjectLockMode": "GOVERNANCE"},
            {"ObjectLockRetainUntilDate": now + timedelta(days=1)},
        ):
            answer = code(self.s3.put_object, Bucket="lock-east", Key="wrong", Body=b"x", **lock)
            self.assertIn(answer, ("InvalidArgument", "InvalidRequest"), lock)
        version = self.put("past")
        retention = {"Mode": "GOVERNANCE", "RetainUntilDate": now - timedelta(days=1)}
        answer = code(
            self.s3.put_object_retention,
            Bucket="lock-east",
            Key="past",
            VersionId=version,
            Retention=retention,
            BypassGovernanceRetention=True,
        )
        self.assertEqual(answer, "InvalidArgument")

    def test_an_ended_retention_lets_go(self):
        until = datetime.now(timezone.utc) + timedelta(seconds=2)
        version = self.put("ends", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
        gone = {"Bucket": "lock-east", "Key": "ends", "VersionId": version}
        self.assertEqual(code(self.s3.delete_object, **gone), "AccessDenied")
        harness.wait_for(lambda: code(self.s3.delete_object, **gone) == "ok", 6, "the retention to end")

    def test_legal_hold(self):
        version = self.put("held")
        at = {"Bucket": "lock-east", "Key": "held", "VersionId": version}
        self.assertEqual(code(self.s3.get_object_legal_hold, **at), "NoSuchObjectLockConfiguration")
        self.s3.put_object_legal_hold(**at, LegalHold={"Status": "ON"})
        self.assertEqual(self.s3.get_object_legal_hold(**at)["LegalHold"]["Status"], "ON")
        self.assertEqual(self.s3.head_object(**at).get("ObjectLockLegalHoldStatus"), "ON")
        self.assertEqual(code(self.s3.delete_object, **at, BypassGovernanceRetention=True), "AccessDenied")
        self.s3.put_object_legal_hold(**at, LegalHold={"Status": "OFF"})
        self.assertEqual(code(self.s3.delete_object, **at, BypassGovernanceRetention=True), "ok")

    def test_a_batch_says_which_keys_are_locked(self):
        held = {"Key": "batch/held", "VersionId": self.put("batch/held", ObjectLockLegalHoldStatus="ON")}
        kept = {"Key": "batch/kept", "VersionId": self.put("batch/kept")}
        answer = self.s3.delete_objects(
            Bucket="lock-east", Delete={"Objects": [held, kept]}, BypassGovernanceRetention=True
        )
        self.assertEqual([entry["Key"] for entry in answer["Deleted"]], ["batch/kept"])
        self.assertEqual([(e["Key"], e["Code"]) for e in answer["Errors"]], [("batch/held", "AccessDenied")])
        # Without a version id a delete only hides the object, which a lock does not forbid.
        self.assertEqual(code(self.s3.delete_object, Bucket="lock-east", Key="batch/held"), "ok")

    def test_locks_are_actions_of_their_own(self):
        writer = assumed(
            "lock-writer", [{"Effect": "Allow", "Action": ["s3:PutObject", "s3:DeleteObjectVersion"], "Resource": "*"}]
        )
        version = self.put("actions")
        at = {"Bucket": "lock-east", "Key": "actions", "VersionId": version}
        put = {"Bucket": "lock-east", "Key": "actions", "Body": b"x"}
        until = datetime.now(timezone.utc) + timedelta(days=2)
        self.assertEqual(code(writer.put_object, **put), "ok")
        self.assertEqual(code(writer.put_object, **put, ObjectLockLegalHoldStatus="ON"), "AccessDenied")
        lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
        self.assertEqual(code(writer.put_object, **put, **lock), "AccessDenied")
        self.assertEqual(
            code(writer.create_multipart_upload, Bucket="lock-east", Key="actions", **lock), "AccessDenied"
        )
        self.assertEqual(code(writer.put_object_legal_hold, **at, LegalHold={"Status": "ON"}), "AccessDenied")
        self.assertEqual(code(writer.delete_object, **at, BypassGovernanceRetention=True), "AccessDenied")


class Replicas(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.role = role("backups-replication", REPLICATION)
        names = {EAST: "backups-east", WEST: "backups-west"}
        for replicate in ("no", "yes"):
            for region, peer in ((EAST, WEST), (WEST, EAST)):
                stack(region, Name=names[region], Peer=names[peer], Role=cls.role, Replicate=replicate)
        cls.east, cls.west = client("s3"), client("s3", WEST)

    def test_an_update_of_the_stack_brings_replication(self):
        for s3, bucket in ((self.east, "backups-east"), (self.west, "backups-west")):
            rules = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]["Rules"]
            self.assertEqual([rule["ID"] for rule in rules], ["manifests", "artifacts", "wal"])

    def test_the_prefixes_of_the_rules_and_no_others(self):
        for prefix in ("manifests", "artifacts", "wal", "evidence"):
            self.east.put_object(Bucket="backups-east", Key=f"{prefix}/prefixes", Body=b"x")
            status = self.east.head_object(Bucket="backups-east", Key=f"{prefix}/prefixes").get("ReplicationStatus")
            there = code(self.west.head_object, Bucket="backups-west", Key=f"{prefix}/prefixes")
            wanted = (None, "404") if prefix == "evidence" else ("COMPLETED", "ok")
            self.assertEqual((status, there), wanted, prefix)

    def test_replicas_of_multipart_objects_with_their_checksums_and_tags(self):
        body = PART + b"end"
        multipart(self.east, "backups-east", "artifacts/parts", create={"Tagging": "kind=full"})
        heads = [
            s3.head_object(Bucket=bucket, Key="artifacts/parts", ChecksumMode="ENABLED")
            for s3, bucket in ((self.east, "backups-east"), (self.west, "backups-west"))
        ]
        digests = hashlib.sha256(PART).digest() + hashlib.sha256(b"end").digest()
        md5s = hashlib.md5(PART).digest() + hashlib.md5(b"end").digest()
        self.assertEqual(heads[0]["ETag"], f'"{hashlib.md5(md5s).hexdigest()}-2"')
        composite = base64.b64encode(hashlib.sha256(digests).digest()).decode() + "-2"
        for head, status in zip(heads, ("COMPLETED", "REPLICA"), strict=True):
            self.assertEqual(head["ReplicationStatus"], status)
            self.assertEqual((head.get("ChecksumSHA256"), head.get("ChecksumType")), (composite, "COMPOSITE"))
            self.assertEqual((head["ContentLength"], head["ETag"]), (len(body), heads[0]["ETag"]))
        self.assertEqual(
            self.west.get_object_tagging(Bucket="backups-west", Key="artifacts/parts")["TagSet"],
            [{"Key": "kind", "Value": "full"}],
        )
        answer = self.west.get_object(Bucket="backups-west", Key="artifacts/parts", Range=f"bytes={len(PART) - 1}-")
        self.assertEqual(answer["Body"].read(), b"pend")
        self.assertEqual(answer["ContentRange"], f"bytes {len(PART) - 1}-{len(body) - 1}/{len(body)}")

    def test_the_version_keeps_its_checksum(self):
        version = multipart(self.east, "backups-east", "artifacts/typed")["VersionId"]
        head = self.east.head_object(
            Bucket="backups-east", Key="artifacts/typed", VersionId=version, ChecksumMode="ENABLED"
        )
        self.assertEqual(head.get("ChecksumType"), "COMPOSITE")
        self.assertEqual(head["ServerSideEncryption"], "AES256")

    def test_a_sha256_given_with_a_put(self):
        digest = base64.b64encode(hashlib.sha256(b"whole").digest()).decode()
        put = {"Bucket": "backups-east", "Key": "manifests/sum", "Body": b"whole"}
        self.east.put_object(**put, ChecksumSHA256=digest)
        for s3, bucket in ((self.east, "backups-east"), (self.west, "backups-west")):
            head = s3.head_object(Bucket=bucket, Key="manifests/sum", ChecksumMode="ENABLED")
            self.assertEqual((head["ChecksumSHA256"], head["ChecksumType"]), (digest, "FULL_OBJECT"))
        other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
        self.assertEqual(code(self.east.put_object, **put, ChecksumSHA256=other), "BadDigest")

    def test_replicas_have_the_sources_lock_and_follow_it(self):
        until = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=5)
        lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until, "ObjectLockLegalHoldStatus": "ON"}
        self.east.put_object(Bucket="backups-east", Key="manifests/named", Body=b"x", **lock)
        multipart(self.east, "backups-east", "artifacts/named", create=lock)
        for key in ("manifests/named", "artifacts/named"):
            head = self.west.head_object(Bucket="backups-west", Key=key)
            found = head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate"), head.get("ObjectLockLegalHoldStatus")
            self.assertEqual(found, ("COMPLIANCE", until, "ON"), key)
        # The default of the source, to the second, not the destination's own.
        self.east.put_object(Bucket="backups-east", Key="wal/default", Body=b"x")
        ends = [
            s3.head_object(Bucket=bucket, Key="wal/default").get("ObjectLockRetainUntilDate")
            for s3, bucket in ((self.east, "backups-east"), (self.west, "backups-west"))
        ]
        self.assertIsNotNone(ends[0])
        self.assertEqual(ends[0], ends[1])
        # Later changes go along.
        version = self.east.head_object(Bucket="backups-east", Key="wal/default")["VersionId"]
        at = {"Bucket": "backups-east", "Key": "wal/default", "VersionId": version}
        self.east.put_object_legal_hold(**at, LegalHold={"Status": "ON"})
        self.east.put_object_retention(**at, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until})
        head = self.west.head_object(Bucket="backups-west", Key="wal/default")
        self.assertEqual(head.get("ObjectLockLegalHoldStatus"), "ON")
        self.assertEqual(head["ObjectLockRetainUntilDate"], until)
        replica = {"Bucket": "backups-west", "Key": "wal/default", "VersionId": head["VersionId"]}
        self.assertEqual(code(self.west.delete_object, **replica, BypassGovernanceRetention=True), "AccessDenied")

    def test_source_and_replica_have_one_version_id(self):
        version = self.east.put_object(Bucket="backups-east", Key="wal/version", Body=b"x")["VersionId"]
        self.assertEqual(self.west.head_object(Bucket="backups-west", Key="wal/version")["VersionId"], version)

    def test_a_change_of_a_lock_waits_for_a_dark_region(self):
        version = self.east.put_object(Bucket="backups-east", Key="wal/dark", Body=b"x")["VersionId"]
        lab("POST", "region", {"region": WEST, "state": "dark", "mode": "kill"})
        try:
            self.east.put_object_legal_hold(
                Bucket="backups-east", Key="wal/dark", VersionId=version, LegalHold={"Status": "ON"}
            )
            multipart(self.east, "backups-east", "artifacts/dark", create={"ObjectLockLegalHoldStatus": "ON"})
            status = self.east.head_object(Bucket="backups-east", Key="artifacts/dark")["ReplicationStatus"]
            self.assertEqual(status, "PENDING")
        finally:
            lab("POST", "region", {"region": WEST, "state": "lit"})
        for key in ("wal/dark", "artifacts/dark"):
            head = self.west.head_object(Bucket="backups-west", Key=key)
            self.assertEqual(head.get("ObjectLockLegalHoldStatus"), "ON", key)
        status = self.east.head_object(Bucket="backups-east", Key="artifacts/dark")["ReplicationStatus"]
        self.assertEqual(status, "COMPLETED")

    def test_deletes_of_versions_do_not_replicate(self):
        version = self.east.put_object(Bucket="backups-east", Key="wal/deleted", Body=b"x")["VersionId"]
        at = {"Bucket": "backups-east", "Key": "wal/deleted", "VersionId": version}
        self.east.delete_object(**at, BypassGovernanceRetention=True)
        self.assertEqual(code(self.west.head_object, Bucket="backups-west", Key="wal/deleted"), "ok")

    def test_without_permission_there_is_no_replica(self):
        lacking = [dict(REPLICATION[0]), {**REPLICATION[1], "Resource": "arn:aws:s3:::elsewhere/*"}]
        no_locks = [{**REPLICATION[0], "Action": REPLICATION[0]["Action"][:-2]}, REPLICATION[1]]
        for name, statements in (("backups-poor-a", lacking), ("backups-poor-b", no_locks)):
            arn = role(name, statements)
            for replicate in ("no", "yes"):
                stack(EAST, Name=name, Peer="backups-west", Role=arn, Replicate=replicate)
            self.east.put_object(Bucket=name, Key=f"wal/{name}", Body=b"x")
            self.assertEqual(self.east.head_object(Bucket=name, Key=f"wal/{name}")["ReplicationStatus"], "FAILED")
            self.assertEqual(code(self.west.head_object, Bucket="backups-west", Key=f"wal/{name}"), "404")


class Conditions(unittest.TestCase):
    def test_if_none_match(self):
        s3 = client("s3")
        s3.create_bucket(Bucket="conditions")
        put = {"Bucket": "conditions", "Key": "manifest", "Body": b"x", "IfNoneMatch": "*"}
        self.assertEqual(code(s3.put_object, **put), "ok")
        self.assertEqual(code(s3.put_object, **put), "PreconditionFailed")
        only_new = {"IfNoneMatch": "*"}
        multipart(s3, "conditions", "parts", complete=only_new)
        with self.assertRaises(harness.ClientError) as refused:
            multipart(s3, "conditions", "parts", complete=only_new)
        self.assertEqual(refused.exception.response["Error"]["Code"], "PreconditionFailed")


class Encryption(unittest.TestCase):
    def test_kms_settings_are_reported(self):
        key = client("kms").create_key()["KeyMetadata"]["Arn"]
        s3 = client("s3")
        s3.create_bucket(Bucket="kms-bucket")
        by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        s3.put_bucket_encryption(
            Bucket="kms-bucket",
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": True}]
            },
        )
        s3.put_object(Bucket="kms-bucket", Key="put", Body=b"x")
        multipart(s3, "kms-bucket", "parts")
        for name in ("put", "parts"):
            head = s3.head_object(Bucket="kms-bucket", Key=name)
            found = head["ServerSideEncryption"], head["SSEKMSKeyId"], head["BucketKeyEnabled"]
            self.assertEqual(found, ("aws:kms", key, True), name)

    def test_objects_under_kms_replicate_only_where_the_rule_says_so(self):
        s3, west = client("s3"), client("s3", WEST)
        key = client("kms").create_key()["KeyMetadata"]["Arn"]
        other = client("kms", WEST).create_key()["KeyMetadata"]["Arn"]
        s3.create_bucket(Bucket="kms-east")
        west.create_bucket(Bucket="kms-west", CreateBucketConfiguration={"LocationConstraint": WEST})
        for region, bucket in ((s3, "kms-east"), (west, "kms-west")):
            region.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        plain = {
            "ID": "plain", "Priority": 1, "Status": "Enabled", "Filter": {"Prefix": "plain/"},
            "DeleteMarkerReplication": {"Status": "Disabled"}, "Destination": {"Bucket": "arn:aws:s3:::kms-west"},
        }
        sealed = {
            **plain, "ID": "sealed", "Priority": 2, "Filter": {"Prefix": "sealed/"},
            "SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}},
            "Destination": {
                "Bucket": "arn:aws:s3:::kms-west", "EncryptionConfiguration": {"ReplicaKmsKeyID": other}
            },
        }
        s3.put_bucket_replication(
            Bucket="kms-east", ReplicationConfiguration={"Role": role("kms-replication", harness.ALL), "Rules": [plain, sealed]}
        )
        for name in ("plain/x", "sealed/x"):
            s3.put_object(Bucket="kms-east", Key=name, Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
        self.assertEqual(code(west.head_object, Bucket="kms-west", Key="plain/x"), "404")
        head = west.head_object(Bucket="kms-west", Key="sealed/x")
        self.assertEqual((head["ServerSideEncryption"], head["SSEKMSKeyId"]), ("aws:kms", other))


SCHEDULES = """
Parameters:
  Role: {Type: String}
  Target: {Type: String}
Resources:
  Key:
    Type: AWS::KMS::Key
    Properties:
      EnableKeyRotation: true
      KeyPolicy:
        Version: "2012-10-17"
        Statement:
          - {Effect: Allow, Principal: {AWS: !Sub "arn:aws:iam::${AWS::AccountId}:root"}, Action: "kms:*", Resource: "*"}
  Alias: {Type: AWS::KMS::Alias, Properties: {AliasName: alias/backups, TargetKeyId: !Ref Key}}
  Group: {Type: AWS::Scheduler::ScheduleGroup, Properties: {Name: backups}}
  Database:
    Type: AWS::Scheduler::Schedule
    Properties:
      GroupName: !Ref Group
      Name: database
      ScheduleExpression: cron(0 3 * * ? *)
      FlexibleTimeWindow: {Mode: "OFF"}
      Target: {Arn: !Ref Target, RoleArn: !Ref Role, Input: '{"kind":"database"}', RetryPolicy: {MaximumRetryAttempts: 2}}
  Wal:
    Type: AWS::Scheduler::Schedule
    Properties:
      GroupName: !Ref Group
      Name: wal
      ScheduleExpression: rate(15 minutes)
      FlexibleTimeWindow: {Mode: FLEXIBLE, MaximumWindowInMinutes: 5}
      State: DISABLED
      Target: {Arn: !Ref Target, RoleArn: !Ref Role}
"""


class KeysAndSchedules(unittest.TestCase):
    def test_a_stack_makes_a_keys_alias_and_several_schedules(self):
        target = harness.function("backups-target", "def handle(event): return event")
        given = {"Role": role("backups-schedules", harness.ALL), "Target": target}
        cloudformation, scheduler = client("cloudformation"), client("scheduler")
        cloudformation.create_stack(
            StackName="keys-and-schedules",
            TemplateBody=SCHEDULES,
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
        )
        wait = {"Delay": 1, "MaxAttempts": 20}
        cloudformation.get_waiter("stack_create_complete").wait(StackName="keys-and-schedules", WaiterConfig=wait)
        key = client("kms").describe_key(KeyId="alias/backups")["KeyMetadata"]
        self.assertEqual(key["KeyState"], "Enabled")
        found = scheduler.list_schedules(GroupName="backups")["Schedules"]
        self.assertEqual(
            sorted((s["Name"], s["State"]) for s in found), [("database", "ENABLED"), ("wal", "DISABLED")]
        )
        database = scheduler.get_schedule(GroupName="backups", Name="database")
        self.assertEqual(database["Target"]["Input"], '{"kind":"database"}')
        # An object under the alias is an object under its key.
        s3 = client("s3")
        s3.create_bucket(Bucket="by-alias")
        s3.put_object(Bucket="by-alias", Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="alias/backups")
        self.assertEqual(s3.head_object(Bucket="by-alias", Key="k")["ServerSideEncryption"], "aws:kms")
        cloudformation.delete_stack(StackName="keys-and-schedules")
        cloudformation.get_waiter("stack_delete_complete").wait(StackName="keys-and-schedules", WaiterConfig=wait)
        names = [s["Name"] for s in scheduler.list_schedules()["Schedules"]]
        self.assertFalse({"database", "wal"} & set(names))


class Listings(unittest.TestCase):
    def test_pages_begin_where_they_are_asked_to(self):
        s3 = client("s3")
        s3.create_bucket(Bucket="listings")
        s3.put_bucket_versioning(Bucket="listings", VersioningConfiguration={"Status": "Enabled"})
        for name in ("a", "b", "b", "c", "d"):
            s3.put_object(Bucket="listings", Key=f"wal/{name}", Body=b"x")
        s3.delete_object(Bucket="listings", Key="wal/d")
        page = s3.list_objects_v2(Bucket="listings", Prefix="wal/", StartAfter="wal/a", MaxKeys=1)
        self.assertEqual(([o["Key"] for o in page["Contents"]], page["IsTruncated"]), (["wal/b"], True))
        rest = s3.list_objects_v2(
            Bucket="listings", Prefix="wal/", StartAfter="wal/a", ContinuationToken=page["NextContinuationToken"]
        )
        self.assertEqual([o["Key"] for o in rest["Contents"]], ["wal/c"])
        self.assertNotIn("Contents", s3.list_objects_v2(Bucket="listings", Prefix="wal/", StartAfter="wal/c"))

        page = s3.list_object_versions(Bucket="listings", Prefix="wal/", KeyMarker="wal/a", MaxKeys=1)
        self.assertEqual(([v["Key"] for v in page["Versions"]], page["IsTruncated"]), (["wal/b"], True))
        self.assertTrue(page["Versions"][0]["IsLatest"])
        rest = s3.list_object_versions(
            Bucket="listings",
            Prefix="wal/",
            KeyMarker=page["NextKeyMarker"],
            VersionIdMarker=page["NextVersionIdMarker"],
        )
        self.assertEqual([v["Key"] for v in rest["Versions"]], ["wal/b", "wal/c", "wal/d"])
        self.assertEqual([v["Key"] for v in rest["DeleteMarkers"]], ["wal/d"])
        self.assertEqual(rest["IsTruncated"], False)

    def test_a_page_that_ends_within_a_key_is_truncated(self):
        s3 = client("s3")
        s3.create_bucket(Bucket="within")
        s3.put_bucket_versioning(Bucket="within", VersioningConfiguration={"Status": "Enabled"})
        for _ in range(3):
            s3.put_object(Bucket="within", Key="k", Body=b"x")
        seen, marker = [], {}
        for _ in range(3):
            page = s3.list_object_versions(Bucket="within", MaxKeys=1, **marker)
            seen += [version["VersionId"] for version in page["Versions"]]
            marker = {"KeyMarker": page.get("NextKeyMarker", ""), "VersionIdMarker": page.get("NextVersionIdMarker", "")}
        self.assertEqual(len(set(seen)), 3)
        self.assertFalse(page["IsTruncated"])


class BucketPolicies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = client("s3")
        cls.root.create_bucket(Bucket="guarded")
        cls.root.put_bucket_versioning(Bucket="guarded", VersioningConfiguration={"Status": "Enabled"})
        everything = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
        cls.sweep, cls.host = assumed("app-retention-sweep", everything), assumed("queue-host-a", everything)

    def versions(self, prefix):
        names = [f"{prefix}/{n}" for n in range(2)]
        return [
            {"Key": name, "VersionId": self.root.put_object(Bucket="guarded", Key=name, Body=b"x")["VersionId"]}
            for name in names
        ]

    def check(self, operator, value):
        deny = {
            "Sid": "OnlyTheSweepDeletes",
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"],
            "Resource": "arn:aws:s3:::guarded/*",
            "Condition": {operator: {"aws:PrincipalArn": value}},
        }
        self.root.put_bucket_policy(Bucket="guarded", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
        one, two = self.versions(operator)
        self.assertEqual(code(self.host.put_object, Bucket="guarded", Key="fine", Body=b"x"), "ok")
        self.assertEqual(code(self.host.delete_object, Bucket="guarded", **one), "AccessDenied", operator)
        self.assertEqual(code(self.host.delete_object, Bucket="guarded", Key=one["Key"]), "AccessDenied", operator)
        answer = self.host.delete_objects(Bucket="guarded", Delete={"Objects": [one, two]})
        self.assertEqual([e["Code"] for e in answer["Errors"]], ["AccessDenied"] * 2)
        self.assertNotIn("Deleted", answer)
        self.assertEqual(code(self.sweep.delete_object, Bucket="guarded", **one), "ok", operator)
        answer = self.sweep.delete_objects(Bucket="guarded", Delete={"Objects": [two]})
        self.assertEqual([e["Key"] for e in answer["Deleted"]], [two["Key"]], operator)

    def test_the_status_of_a_policy_says_whether_it_is_public(self):
        self.root.create_bucket(Bucket="status")
        self.assertEqual(code(self.root.get_bucket_policy_status, Bucket="status"), "NoSuchBucketPolicy")
        self.assertEqual(code(self.root.get_bucket_policy_status, Bucket="nowhere"), "NoSuchBucket")
        self.root.delete_public_access_block(Bucket="status")
        read = {"Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::status/*-active"}
        for effect, public in (("Deny", False), ("Allow", True)):
            policy = {"Version": "2012-10-17", "Statement": [{"Effect": effect, **read}]}
            self.root.put_bucket_policy(Bucket="status", Policy=json.dumps(policy))
            answer = self.root.get_bucket_policy_status(Bucket="status")
            self.assertIs(answer["PolicyStatus"]["IsPublic"], public, effect)

    def test_deny_to_all_but_one_role(self):
        sweep = "arn:aws:iam::000000000000:role/app-retention-sweep"
        self.check("StringNotLike", sweep[:-3] + "*")
        self.check("ArnNotLike", sweep[:-3] + "*")
        self.check("ArnNotEquals", sweep)
        self.check("StringNotEquals", sweep)

    def test_deny_to_writes_without_a_condition(self):
        self.root.create_bucket(Bucket="once")
        deny = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::once/kept/*",
            "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
        }
        self.root.put_bucket_policy(Bucket="once", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
        put = {"Bucket": "once", "Key": "kept/one", "Body": b"x"}
        self.assertEqual(code(self.host.put_object, **put), "AccessDenied")
        self.assertEqual(code(self.host.put_object, **{**put, "Key": "free/one"}), "ok")
        self.assertEqual(code(self.host.put_object, **put, IfNoneMatch="*"), "ok")
        self.assertEqual(code(self.host.put_object, **put), "AccessDenied")
        self.assertEqual(code(self.host.put_object, **put, IfNoneMatch="*"), "PreconditionFailed")
        # An upload in parts begins and carries parts without a condition, and ends with one.
        at = {"Bucket": "once", "Key": "kept/two"}
        at["UploadId"] = self.host.create_multipart_upload(**at)["UploadId"]
        tag = self.host.upload_part(**at, PartNumber=1, Body=PART)["ETag"]
        parts = {"MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": tag}]}}
        self.assertEqual(code(self.host.complete_multipart_upload, **at, **parts), "AccessDenied")
        self.assertEqual(code(self.host.complete_multipart_upload, **at, **parts, IfNoneMatch="*"), "ok")

    def test_a_batch_deletes_what_it_may_and_says_what_it_may_not(self):
        some = [
            {"Effect": "Allow", "Action": "s3:DeleteObjectVersion", "Resource": "arn:aws:s3:::mixed/mine/*"},
            {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::mixed/*"},
        ]
        self.root.create_bucket(Bucket="mixed")
        self.root.put_bucket_versioning(Bucket="mixed", VersioningConfiguration={"Status": "Enabled"})
        sweep = assumed("mixed-sweep", some)
        keys = [
            {"Key": key, "VersionId": self.root.put_object(Bucket="mixed", Key=key, Body=b"x")["VersionId"]}
            for key in ("theirs/1", "mine/1", "theirs/2", "mine/2")
        ]
        answer = sweep.delete_objects(Bucket="mixed", Delete={"Objects": keys})
        self.assertEqual([e["Key"] for e in answer["Deleted"]], ["mine/1", "mine/2"])
        self.assertEqual([(e["Key"], e["Code"]) for e in answer["Errors"]], [("theirs/1", "AccessDenied"), ("theirs/2", "AccessDenied")])
        self.assertIn("s3:DeleteObjectVersion", answer["Errors"][0]["Message"])


if __name__ == "__main__":
    unittest.main()
