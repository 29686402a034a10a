"""Rows on the stack: its machines, its first failure, its buckets, its end."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import botocore.exceptions

from account import TAG
from world import Failed, NotRun, World, until

MACHINES = Path("infra/statemachines")
# Function names are never looked up by the validation, only read.
ARN = "arn:aws:{service}:us-east-1:123456789012:{kind}lifeboat-smoke"
# S3 promises most copies within 15 minutes (user guide, "Replication time control").
COPIED_SECONDS = 900


def definitions(world: World) -> str:
    states = world.client("stepfunctions")
    wrong, found = [], sorted(MACHINES.glob("*.asl.json"))
    for path in found:
        answer = states.validate_state_machine_definition(definition=filled(path.read_text()), type="STANDARD")
        for one in answer["diagnostics"]:
            if one["severity"] == "ERROR":
                wrong.append(f"{path.name}: {one['code']} {one.get('location', '')} {one['message']}")
    if wrong:
        raise Failed("; ".join(wrong[:3]))
    return f"{len(found)} definitions, none refused"


def filled(definition: str) -> str:
    """The definition with ARNs of the right form for the template's substitutions."""

    def arn(name: re.Match) -> str:
        if name[1] == "Partition":
            return "aws"
        if "Topic" in name[1]:
            return ARN.format(service="sns", kind="")
        kind = ("lambda", "function:") if "Function" in name[1] else ("states", "stateMachine:")
        return ARN.format(service=kind[0], kind=kind[1])

    return re.sub(r"\$\{(\w+)\}", arn, definition)


def deploy_all(world: World, regions: list[str], check: bool = True, parameters: str = "") -> subprocess.CompletedProcess:
    """The project's own script, with what a sandbox needs: locks that can be bypassed, and a tag."""
    environment = {
        **os.environ,
        "ENVIRONMENT": "smoke",
        "WITNESS": world.witness,
        "HEALTH_CHECK_SWITCH": "ENABLED",
        "PARAMETERS": f"BackupLockMode=GOVERNANCE BackupLockDays=1 {parameters}",
        "TAGS": f"{TAG}={world.run}",
    }
    command = ["bash", "infra/deploy.sh", world.options.arch, *regions]
    try:
        return subprocess.run(command, env=environment, check=check, capture_output=True, text=True)
    finally:
        for region in regions:
            tag_artifacts(world, region)


def tag_artifacts(world: World, region: str) -> None:
    """The script makes this bucket outside the stack."""
    name = f"lifeboat-artifacts-{world.account}-{region}"
    tags = {"TagSet": [{"Key": TAG, "Value": world.run}]}
    try:
        world.client("s3", region).put_bucket_tagging(Bucket=name, Tagging=tags, ExpectedBucketOwner=world.account)
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise


def needs_own(world: World) -> None:
    if world.options.existing:
        raise NotRun("it would change the stacks that are there; run without --existing in an empty account")


def rollback(world: World) -> str:
    needs_own(world)
    region = world.regions[0]
    cloud, s3 = world.client("cloudformation", region), world.client("s3", region)
    # Only the creation of the functions sees that these are not there: names that are taken are found before
    # anything is made (user guide, "Validate stack deployments").
    nowhere = "SubnetIds=subnet-00000000000000000 SecurityGroupIds=sg-00000000000000000"
    if deploy_all(world, [region], check=False, parameters=nowhere).returncode == 0:
        raise Failed("the deployment succeeded in a subnet that is not there")
    status = cloud.describe_stacks(StackName="lifeboat")["Stacks"][0]["StackStatus"]
    if status != "ROLLBACK_COMPLETE":
        raise Failed(f"the stack ended as {status}, not ROLLBACK_COMPLETE")
    names = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    stranded = [name for name in names if name.endswith(f"-{world.account}-{region}") and "-artifacts-" not in name]
    stranded = [name for name in stranded if name.startswith("lifeboat-")]
    if stranded:
        raise Failed(f"the rollback left {', '.join(stranded)}, which the next deployment meets")
    return "rolled back, and nothing is left in the way"


def deploy(world: World) -> str:
    needs_own(world)
    deploy_all(world, world.regions)
    for region in world.regions:
        status = world.client("cloudformation", region).describe_stacks(StackName="lifeboat")["Stacks"][0]["StackStatus"]
        if not status.endswith("_COMPLETE") or "ROLLBACK" in status:
            raise Failed(f"the stack in {region} is {status}")
    return f"in {' and '.join(world.regions)}"


def replication(world: World) -> str:
    first, second = world.regions
    bucket, copy = (f"lifeboat-backups-{world.account}-{region}" for region in world.regions)
    key = f"artifacts/smoke-{world.run}/object"
    days = 1
    lock_until = datetime.now(UTC) + timedelta(days=days)
    owner = {"ExpectedBucketOwner": world.account}
    put = world.client("s3", first).put_object(
        Bucket=bucket,
        Key=key,
        Body=b"lifeboat smoke\n",
        # The bucket's policy refuses a write that could go over something.
        IfNoneMatch="*",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=lock_until,
        ChecksumAlgorithm="SHA256",
        **owner,
    )
    source, target = world.client("s3", first), world.client("s3", second)
    world.will_undo(f"s3://{bucket}/{key}", lambda: delete_version(source, bucket, key, put["VersionId"], owner))

    def arrived():
        try:
            return target.head_object(Bucket=copy, Key=key, **owner)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                return None
            raise

    head = until(f"s3://{copy}/{key}", COPIED_SECONDS, arrived)
    world.will_undo(f"s3://{copy}/{key}", lambda: delete_version(target, copy, key, head["VersionId"], owner))
    if head.get("ReplicationStatus") != "REPLICA":
        raise Failed(f"the copy says {head.get('ReplicationStatus')}, not REPLICA")
    if head.get("ObjectLockMode") != "GOVERNANCE":
        raise Failed("the copy is not locked")
    return f"a locked copy is in {second}"


def delete_version(s3, bucket: str, key: str, version: str, owner: dict) -> None:
    s3.delete_object(Bucket=bucket, Key=key, VersionId=version, BypassGovernanceRetention=True, **owner)


def redeploy(world: World) -> str:
    needs_own(world)
    for region in world.regions:
        cloud = world.client("cloudformation", region)
        cloud.delete_stack(StackName="lifeboat")
        cloud.get_waiter("stack_delete_complete").wait(StackName="lifeboat")
    names = {bucket["Name"] for bucket in world.client("s3").list_buckets()["Buckets"]}
    for region in world.regions:
        for kind in ("ledger", "backups"):
            if f"lifeboat-{kind}-{world.account}-{region}" not in names:
                raise Failed(f"deleting the stack took lifeboat-{kind}-{world.account}-{region} with it")
    command = [sys.executable, "infra/import_kept.py", *world.regions, "--yes"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    deploy_all(world, world.regions)
    return "the buckets outlived the stacks, and new ones took them over with their key"
