"""Removes what a run made, and looks whether anything is left.

The order matters: what holds others goes last. A locked object goes only because a smoke run deploys with
GOVERNANCE locks; its credentials may then bypass them (S3 user guide, "Managing Object Lock").
"""

import sys

import botocore.exceptions

from account import TAG

WITHIN = {"Delay": 15, "MaxAttempts": 120}


def remove(world) -> list[str]:
    """What could not be removed, one line each; empty when nothing is left."""
    left = []
    for what, how in reversed(world.made):
        print(f"remove: {what}", flush=True)
        left += attempt(what, how)
    world.made.clear()
    if world.options.existing:
        return left
    for region in world.regions:
        left += attempt(f"databases in {region}", lambda region=region: remove_databases(world, region))
    for region in [*world.regions, world.witness]:
        left += attempt(f"stacks in {region}", lambda region=region: remove_stacks(world, region))
    left += attempt("buckets", lambda: remove_buckets(world))
    return left


def attempt(what: str, how) -> list[str]:
    try:
        how()
        return []
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, OSError) as error:
        print(f"remove: {what}: {error}", file=sys.stderr)
        return [f"{what}: {error}"]


def remove_databases(world, region: str) -> None:
    rds = world.client("rds", region)
    found = [one["DBInstanceIdentifier"] for one in rds.describe_db_instances()["DBInstances"]]
    ours = [name for name in found if name.startswith(f"{TAG}-")]
    for name in ours:
        try:
            rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True, DeleteAutomatedBackups=True)
        except rds.exceptions.InvalidDBInstanceStateFault:
            # It is being deleted already.
            pass
    for name in ours:
        rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier=name, WaiterConfig=WITHIN)


def remove_stacks(world, region: str) -> None:
    cloud = world.client("cloudformation", region)
    pages = cloud.get_paginator("describe_stacks").paginate()
    tagged = [one["StackName"] for page in pages for one in page["Stacks"] if is_ours(one.get("Tags", []))]
    # The app's stacks read what the regional one made.
    for name in sorted(tagged, reverse=True):
        cloud.delete_stack(StackName=name)
        cloud.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=WITHIN)


def remove_buckets(world) -> None:
    """The buckets outlive their stack on purpose, so here they are emptied, locked versions included."""
    s3 = world.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        if not (name.startswith("lifeboat-") and f"-{world.account}-" in name):
            continue
        region = next((one for one in [*world.regions, world.witness] if name.endswith(one)), None)
        if region is None:
            continue
        here = world.client("s3", region)
        if not is_ours(tags_of(here, name, world.account)):
            continue
        # The control records' policy refuses deletions to everybody.
        here.delete_bucket_policy(Bucket=name, ExpectedBucketOwner=world.account)
        pages = here.get_paginator("list_object_versions").paginate(Bucket=name, ExpectedBucketOwner=world.account)
        for page in pages:
            for version in page.get("Versions", []) + page.get("DeleteMarkers", []):
                here.delete_object(
                    Bucket=name,
                    Key=version["Key"],
                    VersionId=version["VersionId"],
                    BypassGovernanceRetention=True,
                    ExpectedBucketOwner=world.account,
                )
        here.delete_bucket(Bucket=name, ExpectedBucketOwner=world.account)


def is_ours(tags: list[dict]) -> bool:
    """Only what a smoke run tagged is ever removed: the names are those of a real deployment."""
    return any(tag["Key"] == TAG for tag in tags)


def tags_of(s3, bucket: str, owner: str) -> list[dict]:
    try:
        return s3.get_bucket_tagging(Bucket=bucket, ExpectedBucketOwner=owner)["TagSet"]
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchTagSet":
            return []
        raise
