"""A replica is its source: version id, lock, legal hold and tags, at first and when they change.

AWS: the replica has the source's version id, retention, legal hold and tags, and
follows later changes of them (changes of a replica go back only where the rule
says ReplicaModifications). A bucket with object lock replicates only into one with
object lock. The replication's role must be allowed to read and to write all that.
An object under KMS is replicated only by a rule that selects such objects, and
lies under the rule's key there.
ministack: makes a new version id, copies neither locks nor later changes, asks
nobody for permission within one account, and ignores the criterion and the key.
"""

import sys

from ministack.services import s3

from .. import permissions, pin
from .object_locks import upload_tags
from .replication import Backlog

_SSE, _KEY_ID = "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"
_READS_BUCKET = ("s3:GetReplicationConfiguration", "s3:ListBucket")
_READS = ("s3:GetObjectVersionForReplication",)
_READS_LOCKS = ("s3:GetObjectRetention", "s3:GetObjectLegalHold")

# What changes an object or what is kept beside it; all take the bucket and the key first.
_WRITES = (
    ("_put_object", "bucket_name key body headers"),
    ("_copy_object", "bucket_name dest_key headers"),
    ("_complete_multipart_upload", "bucket_name key body query_params headers"),
    ("_put_object_retention", "bucket_name key body headers query_params"),
    ("_put_object_legal_hold", "bucket_name key body query_params"),
    ("_put_object_tagging", "bucket_name key body query_params"),
    ("_delete_object_tagging", "bucket_name key query_params"),
)


def install(backlog: Backlog) -> None:
    """Applied around `replication`'s backlog: a rule is looked at before a replica can wait."""
    pin.expect(s3, "_replication_rule_for", "bucket_name key tags")
    pin.expect(s3, "_resolve_subresource_version", "query_params bucket key")
    pin.replace(s3, "_replication_destination", "bucket_name key rule role", _permitted)
    pin.replace(s3, "_maybe_replicate", "bucket_name key obj data tags", _selected)
    pin.replace(s3, "_record_object_version", "bucket_name key prior_obj obj data", _one_version_id)
    for name, parameters in _WRITES:
        pin.replace(s3, name, parameters, _then_follow(parameters.split(), backlog))


def replicate_as_is(replicate):
    """Around ministack's own replication: the key and the version id of the replica."""

    def wrapped(bucket_name, key, obj, data, tags=None):
        waited = obj.get("replication_status") == "PENDING"
        obj.pop("_replica", None)
        replicate(bucket_name, key, obj, data, tags)
        if "_replica" not in obj:
            return
        there, version, _account = obj["_replica"]
        rule, _role = s3._replication_rule_for(bucket_name, key, tags)
        chosen = ((rule.get("Destination") or {}).get("EncryptionConfiguration") or {}).get("ReplicaKmsKeyID")
        if chosen and _under_kms(obj):
            # The replica's record and its version share this dictionary, and the source's is another one.
            s3._buckets[there]["objects"][key]["preserved_headers"][_KEY_ID] = chosen
        if waited and obj.get("version_id"):
            _rename(there, key, version, obj["version_id"])
            obj["_replica"] = (there, obj["version_id"], _account)

    return wrapped


def _selected(replicate):
    def wrapped(bucket_name, key, obj, data, tags=None):
        if _under_kms(obj):
            rule, _role = s3._replication_rule_for(bucket_name, key, tags)
            criteria = (rule or {}).get("SourceSelectionCriteria") or {}
            if (criteria.get("SseKmsEncryptedObjects") or {}).get("Status") != "Enabled":
                return
        if tags is None and sys._getframe(1).f_code.co_name == "_complete_multipart_upload":
            tags = upload_tags(sys._getframe(1).f_locals["upload"])
        replicate(bucket_name, key, obj, data, tags)

    return wrapped


def _under_kms(obj: dict) -> bool:
    return obj.get("preserved_headers", {}).get(_SSE, "").startswith("aws:kms")


def _permitted(destination):
    def wrapped(bucket_name, key, rule, role):
        target = destination(bucket_name, key, rule, role)
        if target is None:
            return None
        locked = bool(s3._bucket_object_lock.get(bucket_name))
        if locked and not s3._bucket_object_lock.get(target[0]):
            return None
        source = f"arn:aws:s3:::{bucket_name}"
        needed = [(action, source) for action in _READS_BUCKET]
        needed += [(action, f"{source}/{key}") for action in _READS + (_READS_LOCKS if locked else ())]
        needed.append(("s3:ReplicateObject", f"arn:aws:s3:::{target[0]}/{key}"))
        for action, resource in needed:
            denied = permissions.role_denial(role, "s3.amazonaws.com", action, resource)
            if denied is not None:
                print(f"lab emulator: no replica of {bucket_name}/{key}: {denied}", file=sys.stderr)
                return None
        return target

    return wrapped


def _one_version_id(record):
    def wrapped(bucket_name, key, prior_obj, obj, data):
        version = record(bucket_name, key, prior_obj, obj, data)
        replica = obj.get("_replica")
        if version is None or replica is None or replica[1] is None:
            return version
        _rename(bucket_name, key, version, replica[1])
        obj["version_id"] = replica[1]
        return replica[1]

    return wrapped


def _rename(bucket: str, key: str, old: str, new: str) -> None:
    """Give the newest version of the key another id."""
    s3._object_versions[(bucket, key)][-1]["version_id"] = new
    current = s3._buckets[bucket]["objects"].get(key)
    if current is not None and current.get("version_id") == old:
        current["version_id"] = new


def _then_follow(parameters: list[str], backlog: Backlog):
    def make(write):
        def wrapped(bucket_name, key, *rest, **named):
            answer = write(bucket_name, key, *rest, **named)
            if answer[0] < 300:
                query = dict(zip(parameters[2:], rest, strict=False), **named).get("query_params") or {}
                version = answer[1].get("x-amz-version-id")
                bucket = s3._ensure_bucket(bucket_name)
                version = version or s3._resolve_subresource_version(query, bucket, key)
                backlog.follow(bucket_name, key, version, lambda: _mirror(bucket_name, key, version))
            return answer

        return wrapped

    return make


def _mirror(bucket_name: str, key: str, version: str | None) -> None:
    """Make the replica's lock, hold and tags what the source's are now."""
    source = (bucket_name, key, version)
    entry = next((v for v in s3._object_versions.get((bucket_name, key)) or [] if v["version_id"] == version), None)
    rule, role = s3._replication_rule_for(bucket_name, key, s3._object_tags.get(source))
    if entry is None or rule is None or entry.get("replication_status") == "FAILED":
        return
    both_ways = (rule.get("SourceSelectionCriteria") or {}).get("ReplicaModifications") or {}
    if entry.get("replication_status") == "REPLICA" and both_ways.get("Status") != "Enabled":
        return
    target = s3._replication_destination(bucket_name, key, rule, role)
    there = target and (target[0], key, version)
    if not target or not any(v["version_id"] == version for v in s3._object_versions.get(there[:2]) or []):
        return
    stores = [s3._object_tags]
    if s3._bucket_object_lock.get(target[0]):
        stores += [s3._object_retention, s3._object_legal_hold]
    for store in stores:
        if source in store:
            value = store[source]
            store[there] = dict(value) if isinstance(value, dict) else value
        else:
            store.pop(there, None)
