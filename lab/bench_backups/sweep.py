"""A sweep of a thousand expired objects among a hundred thousand: calls counted at the gateway, ours and naive ones."""

from collections import Counter
from datetime import datetime, timedelta, timezone

from cloud import ACCOUNT, APP
from measure import say

# Of three objects each: the artifact, its manifest, and the evidence that it was read.
POINTS, EXPIRED = 33_334, 334


def objects() -> tuple[dict, list]:
    """The objects of every point by name, and the names of those that are older than the default 30 days."""
    horizon = datetime.now(timezone.utc) - timedelta(days=30)
    every, expired = {}, []
    for place in range(POINTS):
        # The youngest that may go is an hour older than 30 days, so that the time this takes decides nothing.
        at = horizon - timedelta(hours=1, minutes=place)
        if place >= EXPIRED:
            at = horizon + timedelta(hours=1, seconds=70 * (place - EXPIRED))
        point = f"{at:%Y%m%dT%H%M%SZ}-full"
        keys = [
            f"artifacts/{APP}/config/{point}/files.tar.zst",
            f"manifests/{APP}/config/{point}.json",
            f"evidence/{APP}/config/{point}/read-sound.json",
        ]
        every.update(dict.fromkeys(keys, "{}"))
        if place < EXPIRED:
            expired.extend(keys)
    return every, expired


def bench(options, cloud, home) -> dict:
    from cloud import function

    every, expired = objects()
    ours, naive = cloud.bucket("bench-sweep", versions=True), cloud.bucket("bench-naive", versions=True)
    for bucket in (ours, naive):
        cloud.plant(bucket, every)
    say(f"{len(every):,} objects in each of two buckets, {len(expired):,} of them expired")

    environment = {
        **cloud.environment(),
        "BACKUP_BUCKET": ours,
        "LEDGER_BUCKET_PREFIX": f"lifeboat-ledger-{ACCOUNT}",
    }
    since = cloud.last_call()
    with function(options.bin / "retention-sweep", environment, home / "retention-sweep.log") as invoke:
        swept = invoke({"app": APP, "execute": True})
    made = cloud.calls(since)

    since = cloud.last_call()
    s3 = cloud.client("s3", counted=True)
    listed = [one["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=naive) for one in page["Contents"]]
    for key in sorted(set(listed) & set(expired)):
        s3.delete_object(Bucket=naive, Key=key)
    naive_made = cloud.calls(since)

    left = {}
    for bucket in (ours, naive):
        pages = cloud.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
        left[bucket] = {one["Key"] for page in pages for one in page["Contents"]}
    as_wanted = set(every) - set(expired)
    by_name = Counter(f"{call['service']}:{call['operation']}" for call in made)
    say(f"ours {len(made)} calls, every service's: {dict(by_name)}; naive {len(naive_made)}")
    return {
        "objects": len(every),
        "expired": len(expired),
        "calls": len(made),
        "calls_by_operation": dict(by_name),
        "naive_calls": len(naive_made),
        "deleted_points": swept["deleted_total"],
        "targets": {
            f"{len(made)} calls for {len(naive_made)} naive ones, 1/{len(naive_made) // max(len(made), 1)} (1/20)": len(made) * 20
            <= len(naive_made),
            "exactly what has expired is gone, as it is after the naive deletion": left[ours] == as_wanted
            and left[naive] == as_wanted,
        },
    }
