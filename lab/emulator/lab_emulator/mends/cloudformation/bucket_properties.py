"""AWS::S3::Bucket: object lock, encryption, lifecycle, replication and tags take effect.

Each property is translated to the S3 API's request and put through ministack's
own operation, so that its checks apply.
"""

import botocore.serialize
import botocore.session
from ministack.services import s3

from ... import pin
from ...lab import Lab
from . import registry

_TYPE = "AWS::S3::Bucket"


def install(lab: Lab) -> None:
    for operation in ("_put_bucket_encryption", "_put_bucket_lifecycle", "_put_bucket_tagging"):
        pin.expect(s3, operation, "name body")
    for operation in ("_put_bucket_replication", "_put_object_lock_configuration"):
        pin.expect(s3, operation, "bucket_name body")
    registry.after(_TYPE, _apply)


def _apply(bucket, properties, old):
    if registry.boolean(properties.get("ObjectLockEnabled", False)):
        # As CreateBucket does: object lock brings versioning.
        s3._bucket_versioning[bucket] = "Enabled"
        s3._bucket_object_lock.setdefault(bucket, {"enabled": True, "default_retention": None})
    for name, (operation, member, translate, put, remove) in _PROPERTIES.items():
        if properties.get(name):
            body = _xml(operation, {"Bucket": bucket, member: translate(properties[name])})
            registry.refuse(_TYPE, put(bucket, body))
        elif old and old.get(name) and remove:
            remove(bucket)


def _xml(operation: str, request: dict) -> bytes:
    """The body that an SDK sends for this request."""
    model = botocore.session.get_session().get_service_model("s3")
    serializer = botocore.serialize.create_serializer(model.metadata["protocol"], include_validation=True)
    return serializer.serialize_to_request(request, model.operation_model(operation))["body"]


def _encryption(value: dict) -> dict:
    rules = []
    for rule in value["ServerSideEncryptionConfiguration"]:
        translated = {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]}
        if "BucketKeyEnabled" in rule:
            translated["BucketKeyEnabled"] = registry.boolean(rule["BucketKeyEnabled"])
        rules.append(translated)
    return {"Rules": rules}


def _object_lock(value: dict) -> dict:
    retention = ((value.get("Rule") or {}).get("DefaultRetention")) or None
    if not retention:
        return {"ObjectLockEnabled": "Enabled"}
    numbers = {name: int(retention[name]) for name in ("Days", "Years") if name in retention}
    return {
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": retention["Mode"], **numbers}},
    }


def _lifecycle(value: dict) -> dict:
    return {"Rules": [_lifecycle_rule(rule) for rule in value["Rules"]]}


def _lifecycle_rule(rule: dict) -> dict:
    """The template's flat rule as the API's nested one."""
    translated = {"Status": rule["Status"], "Filter": _filter(rule)}
    if rule.get("Id"):
        translated["ID"] = rule["Id"]
    expiration = {}
    if rule.get("ExpirationInDays"):
        expiration["Days"] = int(rule["ExpirationInDays"])
    if rule.get("ExpiredObjectDeleteMarker"):
        expiration["ExpiredObjectDeleteMarker"] = registry.boolean(rule["ExpiredObjectDeleteMarker"])
    if expiration:
        translated["Expiration"] = expiration
    old_versions = rule.get("NoncurrentVersionExpiration") or {}
    days = old_versions.get("NoncurrentDays") or rule.get("NoncurrentVersionExpirationInDays")
    if days:
        translated["NoncurrentVersionExpiration"] = {"NoncurrentDays": int(days)}
        if old_versions.get("NewerNoncurrentVersions"):
            translated["NoncurrentVersionExpiration"]["NewerNoncurrentVersions"] = int(
                old_versions["NewerNoncurrentVersions"]
            )
    moves = rule.get("Transitions") or ([rule["Transition"]] if rule.get("Transition") else [])
    if moves:
        translated["Transitions"] = [
            {"StorageClass": move["StorageClass"], "Days": int(move["TransitionInDays"])} for move in moves
        ]
    abort = rule.get("AbortIncompleteMultipartUpload")
    if abort:
        translated["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": int(abort["DaysAfterInitiation"])}
    return translated


def _filter(rule: dict) -> dict:
    """Prefix and tags of a lifecycle rule as the API's filter."""
    prefix, tags = rule.get("Prefix"), rule.get("TagFilters") or []
    if prefix and tags or len(tags) > 1:
        return {"And": {**({"Prefix": prefix} if prefix else {}), "Tags": tags}}
    return {"Tag": tags[0]} if tags else {"Prefix": prefix or ""}


def _replication(value: dict) -> dict:
    return {"Role": value["Role"], "Rules": [_replication_rule(rule) for rule in value["Rules"]]}


def _replication_rule(rule: dict) -> dict:
    kept = ("Status", "Prefix", "Destination", "DeleteMarkerReplication", "SourceSelectionCriteria")
    translated = {name: rule[name] for name in kept if name in rule}
    if rule.get("Id"):
        translated["ID"] = rule["Id"]
    if "Priority" in rule:
        translated["Priority"] = int(rule["Priority"])
    if "Filter" in rule:
        given = rule["Filter"]
        if "And" in given:
            both = given["And"]
            translated["Filter"] = {"And": {"Prefix": both.get("Prefix", ""), "Tags": both.get("TagFilters") or []}}
        else:
            names = {"Prefix": "Prefix", "TagFilter": "Tag"}
            translated["Filter"] = {names[name]: given[name] for name in names if name in given}
    destination = dict(translated["Destination"])
    for name in ("ReplicationTime", "Metrics"):
        if name in destination:
            destination[name] = _minutes(destination[name])
    translated["Destination"] = destination
    return translated


def _minutes(value: dict) -> dict:
    return {
        name: {"Minutes": int(part["Minutes"])} if isinstance(part, dict) else part for name, part in value.items()
    }


_PROPERTIES = {
    "ObjectLockConfiguration": (
        "PutObjectLockConfiguration",
        "ObjectLockConfiguration",
        _object_lock,
        s3._put_object_lock_configuration,
        None,
    ),
    "BucketEncryption": (
        "PutBucketEncryption",
        "ServerSideEncryptionConfiguration",
        _encryption,
        s3._put_bucket_encryption,
        s3._delete_bucket_encryption,
    ),
    "LifecycleConfiguration": (
        "PutBucketLifecycleConfiguration",
        "LifecycleConfiguration",
        _lifecycle,
        s3._put_bucket_lifecycle,
        s3._delete_bucket_lifecycle,
    ),
    "ReplicationConfiguration": (
        "PutBucketReplication",
        "ReplicationConfiguration",
        _replication,
        s3._put_bucket_replication,
        s3._delete_bucket_replication,
    ),
    "Tags": (
        "PutBucketTagging",
        "Tagging",
        lambda tags: {"TagSet": [{"Key": tag["Key"], "Value": str(tag["Value"])} for tag in tags]},
        s3._put_bucket_tagging,
        s3._delete_bucket_tagging,
    ),
}
