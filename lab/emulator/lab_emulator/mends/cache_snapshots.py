"""ElastiCache snapshots that hold what a Redis of the lab holds, and their export into S3.

AWS: a snapshot is `creating` before it is `available`; CopySnapshot with TargetBucket writes
NAME-0001.rdb, for every node group one, into a bucket of the region, while the snapshot is not
available. It does so when the bucket's policy lets REGION.elasticache-snapshot.amazonaws.com
in and the caller could write there too. CreateSnapshot and AddTagsToResource are permitted on the
snapshot as well as on its source. (API reference; user guide, "Exporting a backup".)
ministack: a snapshot is available at once, holds nothing, drops its tags, is made of groups that
do not exist, and tells its time in a form that SDKs refuse; there is no CopySnapshot; every
snapshot's resource is `*`.

A replication group named in LIFEBOAT_LAB_CACHES is the Redis at that address.
"""

import asyncio
import re
import sys
import time
from datetime import datetime, timezone

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import elasticache, s3

from .. import authorize, pin, redis_dump
from ..lab import Lab

# What the caller of an export must be allowed (user guide, "Required IAM permissions for the caller").
_CALLER_ON_BUCKET = ("s3:GetBucketLocation", "s3:ListBucket")
_CALLER_ON_OBJECTS = ("s3:PutObject", "s3:GetObject", "s3:DeleteObject")
# What the bucket's policy must let the service do, and what ElastiCache calls it.
_SERVICE = (
    ("READ", "s3:ListBucket", ""),
    ("READ", "s3:GetObject", "/*"),
    ("WRITE", "s3:PutObject", "/*"),
    ("WRITE", "s3:ListMultipartUploadParts", "/*"),
    ("WRITE", "s3:ListBucketMultipartUploads", ""),
    ("READ_ACP", "s3:GetBucketAcl", ""),
)
# How long a state lasts at least: so that it is seen, as on AWS, where it is minutes.
_LEAST_SECONDS = 0.5

# The event loop keeps no reference of its own to a task.
_tasks: set[asyncio.Task] = set()


def install(lab: Lab) -> None:
    endpoints = lab.settings.caches
    pin.replace(elasticache, "_spawn_redis_container", _SPAWN, lambda spawn: _at_its_address(spawn, endpoints))
    pin.expect(elasticache, "_error", "code message status")
    pin.expect(elasticache, "_xml", "status root_tag inner")
    pin.expect(elasticache, "_extract_tags", "p")
    pin.expect(s3, "_put_object", "bucket_name key body headers")
    pin.expect(s3, "bucket_region", "name")
    pin.expect(iam_evaluator, "evaluate_resource_policy", "doc ctx service named_only direct_only")
    pin.replace(elasticache, "_snapshot_xml", "snap", _with_groups)
    pin.replace(elasticache, "_create_snapshot", "p", _of_real_data)
    pin.replace(elasticache, "_delete_snapshot", "p", _when_available)
    pin.replace(elasticache, "handle_request", "method path headers body query_params", _with_exports)
    pin.replace(
        iam_actions,
        "extract_resource_arn",
        "service method path headers body query_params region account_id",
        _named_snapshots,
    )


_SPAWN = "name engine engine_version labels transit auth_token"


def _at_its_address(spawn, endpoints):
    def wrapped(name, engine, engine_version, labels, transit=False, auth_token=None):
        address = endpoints.get(labels.get("region"), {}).get(labels.get("rg_id"))
        if address is None:
            return spawn(name, engine, engine_version, labels, transit, auth_token)
        host, _, port = address.rpartition(":")
        return host, int(port), None

    return wrapped


def _named_snapshots(extract):
    def wrapped(service, method, path, headers, body, query_params, region, account_id):
        found = extract(service, method, path, headers, body, query_params, region, account_id)
        if service != "elasticache" or found != "*":
            return found
        name = elasticache._p(query_params, "SnapshotName") or elasticache._p(query_params, "SourceSnapshotName")
        named = elasticache._p(query_params, "ResourceName") or "*"
        return f"arn:aws:elasticache:{region}:{account_id}:snapshot:{name}" if name else named

    return wrapped


def _with_groups(xml):
    def wrapped(snap):
        return xml(snap) + f"<NumNodeGroups>{len(snap.get('_nodes', ())) or 1}</NumNodeGroups>"

    return wrapped


def _of_real_data(create):
    def wrapped(p):
        group = elasticache._replication_groups.get(elasticache._p(p, "ReplicationGroupId"))
        if group is None:
            name = elasticache._p(p, "ReplicationGroupId")
            return elasticache._error("ReplicationGroupNotFoundFault", f"ReplicationGroup {name} not found", 404)
        answer = create(p)
        if answer[0] != 200:
            return answer
        snapshot = elasticache._snapshots[elasticache._p(p, "SnapshotName")]
        snapshot["SnapshotStatus"] = "creating"
        snapshot["_nodes"] = [node["PrimaryEndpoint"] for node in group["NodeGroups"]]
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        snapshot["NodeSnapshots"] = [{"CacheNodeId": "0001", "SnapshotCreateTime": now} for _ in snapshot["_nodes"]]
        elasticache._tags[snapshot["ARN"]] = elasticache._extract_tags(p)
        _begin(snapshot, _save(snapshot))
        xml = elasticache._snapshot_xml(snapshot)
        result = f"<CreateSnapshotResult><Snapshot>{xml}</Snapshot></CreateSnapshotResult>"
        return elasticache._xml(200, "CreateSnapshotResponse", result)

    return wrapped


def _begin(snapshot: dict, work) -> None:
    """Do the work beside the request; the snapshot is available when it is done, and failed when it fails."""

    async def run():
        begun = time.monotonic()
        try:
            await work
            await asyncio.sleep(_LEAST_SECONDS - (time.monotonic() - begun))
            snapshot["SnapshotStatus"] = "available"
        except Exception as error:
            print(f"lab emulator: snapshot {snapshot['SnapshotName']}: {error}", file=sys.stderr)
            snapshot["SnapshotStatus"] = "failed"

    task = asyncio.get_running_loop().create_task(run())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _save(snapshot: dict) -> None:
    files = [asyncio.to_thread(redis_dump.fetch, node["Address"], node["Port"]) for node in snapshot["_nodes"]]
    snapshot["_files"] = await asyncio.gather(*files)


def _when_available(delete):
    def wrapped(p):
        name = elasticache._p(p, "SnapshotName")
        snapshot = elasticache._snapshots.get(name)
        if snapshot is not None and snapshot["SnapshotStatus"] not in ("available", "failed"):
            return _error("InvalidSnapshotState", f"Snapshot {name} is {snapshot['SnapshotStatus']}")
        return delete(p)

    return wrapped


def _with_exports(handle):
    async def wrapped(method, path, headers, body, query_params):
        params = query_params
        if method == "POST" and body:
            params = {**query_params, **elasticache.parse_qs(body.decode())}
        action = elasticache._p(params, "Action")
        if action == "CreateSnapshot":
            denied = _also_on_the_snapshot(_caller(headers), params)
            if denied is not None:
                return denied
        if action == "CopySnapshot":
            return _copy(_caller(headers), params)
        return await handle(method, path, headers, body, query_params)

    return wrapped


def _caller(headers: dict) -> str:
    found = re.search(r"Credential=([^/]+)/", headers.get("authorization") or headers.get("Authorization") or "")
    return found.group(1) if found else ""


def _also_on_the_snapshot(caller: str, params: dict) -> tuple | None:
    """The refusal, when the caller may not make or tag a snapshot of that name; ministack asks about its source."""
    name = elasticache._p(params, "SnapshotName")
    actions = ["elasticache:CreateSnapshot"]
    if elasticache._extract_tags(params):
        actions.append("elasticache:AddTagsToResource")
    for action in actions:
        answer = authorize.authorize(caller, action, elasticache._arn_snapshot(name), get_region(), {})
        if not answer["allowed"]:
            return elasticache._error(answer["code"], answer["message"], 403)
    return None


def _copy(caller: str, params: dict) -> tuple:
    source, target = elasticache._p(params, "SourceSnapshotName"), elasticache._p(params, "TargetSnapshotName")
    bucket = elasticache._p(params, "TargetBucket")
    snapshot = elasticache._snapshots.get(source)
    if snapshot is None:
        return elasticache._error("SnapshotNotFoundFault", f"Snapshot {source} not found", 404)
    if not bucket:
        return _error("InvalidParameterCombination", "the lab copies snapshots into buckets alone: name TargetBucket")
    if snapshot["SnapshotStatus"] != "available":
        return _error("InvalidSnapshotState", f"Snapshot {source} is {snapshot['SnapshotStatus']}")
    keys = [f"{target}-{place:04}.rdb" for place in range(1, len(snapshot["_files"]) + 1)]
    problem = _cannot_export(caller, bucket, keys)
    if problem is not None:
        return _error("InvalidParameterValue", problem)
    snapshot["SnapshotStatus"] = "exporting"
    _begin(snapshot, _export(bucket, dict(zip(keys, snapshot["_files"], strict=True))))
    inner = f"<CopySnapshotResult><Snapshot>{elasticache._snapshot_xml(snapshot)}</Snapshot></CopySnapshotResult>"
    return elasticache._xml(200, "CopySnapshotResponse", inner)


def _cannot_export(caller: str, bucket: str, keys: list[str]) -> str | None:
    """Why not, in the words of the API reference."""
    arn, region = f"arn:aws:s3:::{bucket}", get_region()
    if s3._ensure_bucket(bucket) is None:
        return f"The S3 bucket {bucket} does not exist."
    if s3.bucket_region(bucket) != region:
        return f"The S3 bucket {bucket} is outside of the region."
    wanted = [("s3:ListAllMyBuckets", "*")] + [(action, arn) for action in _CALLER_ON_BUCKET]
    wanted += [(action, f"{arn}/{key}") for action in _CALLER_ON_OBJECTS for key in keys]
    for action, resource in wanted:
        if not authorize.authorize(caller, action, resource, region, {})["allowed"]:
            print(f"lab emulator: no export to {bucket}: its caller may not {action} on {resource}", file=sys.stderr)
            return f"Elasticache was unable to validate the authenticated user has access on the S3 bucket {bucket}."
    policy = s3.bucket_policy_for_arn(arn)
    service = f"{region}.elasticache-snapshot.amazonaws.com"
    for name, action, below in _SERVICE:
        context = iam_evaluator.EvalContext(
            principal_arn=service,
            principal_type="AWSService",
            principal_account=get_account_id(),
            action=action,
            resource_arn=f"{arn}{below}" if not below else f"{arn}/{keys[0]}",
            region=region,
        )
        decision = iam_evaluator.evaluate_resource_policy(policy[0] if policy else "", context, service=service)
        if decision.decision != "Allow":
            return f"ElastiCache has not been granted {name} permissions {action} on the S3 Bucket."
    there = s3._ensure_bucket(bucket)["objects"]
    taken = [key for key in keys if key in there]
    return f"The S3 bucket {bucket} already contains an object with key {taken[0]}." if taken else None


async def _export(bucket: str, files: dict[str, bytes]) -> None:
    await asyncio.sleep(_LEAST_SECONDS)
    for key, content in files.items():
        answer = s3._put_object(bucket, key, content, {})
        if answer[0] >= 300:
            raise OSError(f"S3 refuses {bucket}/{key}: {answer[2]!r}")


def _error(code: str, message: str) -> tuple:
    return elasticache._error(code, message, 400)
