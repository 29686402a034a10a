"""What is imported into a new stack: all that is kept, and nothing that needs something else."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

INFRA = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(INFRA))

import import_kept  # noqa: E402
from cfnlint.decode import cfn_yaml  # noqa: E402

TEMPLATE = cfn_yaml.loads((INFRA / "template.yaml").read_text())


class FakeS3:
    """Buckets, each with the key that encrypts it."""

    def __init__(self, buckets):
        self.buckets = buckets

    def head_bucket(self, Bucket, ExpectedBucketOwner):  # noqa: N803
        if Bucket not in self.buckets:
            raise import_kept.botocore.exceptions.ClientError({"Error": {"Code": "404"}}, "HeadBucket")

    def get_bucket_encryption(self, Bucket, ExpectedBucketOwner):  # noqa: N803
        rule = {"ApplyServerSideEncryptionByDefault": {"KMSMasterKeyID": self.buckets[Bucket]}}
        return {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}


def identifiers(buckets):
    return import_kept.identifiers(TEMPLATE, "1", "eu-west-1", FakeS3(buckets))


class Kept(unittest.TestCase):
    def test_buckets_are_found_by_name_and_the_key_by_the_bucket_that_names_it(self):
        key = "arn:aws:kms:eu-west-1:1:key/abc"
        found = identifiers({"lifeboat-ledger-1-eu-west-1": None, "lifeboat-backups-1-eu-west-1": key})
        self.assertEqual(
            found,
            {
                "LedgerBucket": {"BucketName": "lifeboat-ledger-1-eu-west-1"},
                "BackupBucket": {"BucketName": "lifeboat-backups-1-eu-west-1"},
                "BackupKey": {"KeyId": "abc"},
            },
        )
        self.assertEqual(identifiers({}), {})

    def test_the_template_has_what_is_kept_and_stands_by_itself(self):
        names = set(import_kept.kept(TEMPLATE))
        self.assertLessEqual({"LedgerBucket", "BackupBucket", "BackupKey", "SwitchBucket"}, names)
        for wanted in (names, {"LedgerBucket"}):
            small = import_kept.template_of(TEMPLATE, wanted)
            self.assertEqual(set(small["Resources"]), wanted)
            for one in small["Resources"].values():
                self.assertEqual(one["DeletionPolicy"], "RetainExceptOnCreate")
            known = wanted | set(small.get("Parameters", {}))
            refs = import_kept.names_in(small["Resources"])
            self.assertFalse({ref for ref in refs if not ref.startswith("AWS::")} - known)
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                json.dump(small, file, default=str)
                file.flush()
                lint = [str(Path(sys.executable).parent / "cfn-lint"), "--ignore-checks", "W", "--", file.name]
                done = subprocess.run(lint, capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stdout)

    def test_what_can_never_be_changed_is_in_it(self):
        small = import_kept.template_of(TEMPLATE, set(import_kept.kept(TEMPLATE)))
        self.assertTrue(small["Resources"]["BackupBucket"]["Properties"]["ObjectLockEnabled"])


if __name__ == "__main__":
    unittest.main()
