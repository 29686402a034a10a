"""Taking a backup of the database: what the document runs, against what people write by hand, into the same S3."""

import json
import statistics
from pathlib import Path

from cloud import APP, REGION, SITE
from measure import Watch, program, run, say, spread, told


def bench(options, server, cloud, home) -> dict:
    bucket = cloud.bucket("bench-take")
    scratch = home / "scratch"
    scratch.mkdir()
    # Straight to the emulator, all of them: the gateway is no part of AWS.
    environment = {**server.environment, **cloud.environment(cloud.emulator), "TMPDIR": str(scratch.resolve())}
    dump = f"'{server.bin}/pg_dump' --dbname=bench"
    upload = f"gzip -1 | aws s3 cp --only-show-errors - s3://{bucket}/peer"

    def ours(turn: int) -> list:
        return [
            program(options.bin / "lifeboat"), "host", "backup", "--app", APP, "--site", SITE, "--region", REGION,
            "--bucket", bucket, "--kind", "database-dump", "--point", f"20260101T00{turn:02}00Z-full",
            "--scratch", scratch,
        ]  # fmt: skip

    def piped(pipeline: str) -> list:
        return ["bash", "-o", "pipefail", "-c", pipeline]

    ways = {
        "ours": ours,
        "pg_dump | gzip -1 | aws s3 cp -": lambda _: piped(f"{dump} | {upload}"),
        "pg_dump -Fc -Z0 | gzip -1 | aws s3 cp -": lambda _: piped(f"{dump} -Fc -Z0 | {upload}"),
        # What is left of theirs without S3, to see whether the emulator is what all wait for.
        "pg_dump | gzip -1, no upload": lambda _: piped(f"{dump} | gzip -1 >/dev/null"),
    }
    runs, sizes, grown, written = {name: [] for name in ways}, {}, 0, 0.0
    for turn in range(options.runs):
        for name, command in ways.items():
            with Watch(scratch) as watch:
                done = run(command(turn), env=environment)
            runs[name].append(done)
            sizes[name] = stored(cloud, bucket)
            if name == "ours":
                grown, written = max(grown, watch.most), max(written, done.written_mib)
                is_whole(options, cloud, bucket, home, server) if turn == 0 else None
            empty(cloud, bucket)
    times = {name: spread([one.seconds for one in each]) for name, each in runs.items()}
    for name, figures in times.items():
        processor = statistics.median(one.processor_seconds for one in runs[name])
        figures["processor_seconds"] = round(processor, 2)
        say(f"{name}: {told(figures)}, {processor:.1f} s of processor, {sizes[name] / 1e6:.1f} MB stored")
    say(f"the scratch folder grew by {grown / 1024:.0f} KiB at most; {written:.1f} MiB were written to disks")
    peers = [name for name in ways if "aws" in name]
    quickest, smallest = min(times[name]["median"] for name in peers), min(sizes[name] for name in peers)
    speed = round(quickest / times["ours"]["median"], 2)
    ratio = round(sizes["ours"] / smallest, 2)
    return {
        "times": times,
        "stored_bytes": sizes,
        "scratch_grown_bytes": grown,
        "written_mib": round(written, 2),
        "targets": {
            f"{speed} times as fast as the quickest pipeline with gzip -1 (1)": speed >= 1,
            f"{ratio} of the size of the smallest (below 1)": ratio < 1,
            f"the host's disk does not grow ({grown / 2**20:.2f} MiB in scratch, {written:.1f} MiB written) (1)": grown <= 2**20
            and written <= 1,
        },
    }


def stored(cloud, bucket: str) -> int:
    listed = cloud.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    return sum(one["Size"] for one in listed)


def empty(cloud, bucket: str) -> None:
    """What was stored goes at once: the emulator keeps it in memory."""
    s3 = cloud.client("s3")
    for one in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        s3.delete_object(Bucket=bucket, Key=one["Key"])


def is_whole(options, cloud, bucket: str, home: Path, server) -> None:
    """Fails unless what was stored is what its manifest says, sound, and has every row."""
    s3 = cloud.client("s3")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    manifest = json.loads(s3.get_object(Bucket=bucket, Key=next(k for k in keys if k.startswith("manifests/")))["Body"].read())
    rows = {one["table"]: one["rows"] for one in manifest["tables"]}
    assert rows["public.tickets"] == int(server.sql("SELECT count(*) FROM tickets")), rows
    copy = home / "taken.dump.zst"
    s3.download_file(bucket, next(k for k in keys if k.startswith("artifacts/")), str(copy))
    run([program(options.bin / "lifeboat"), "verify", "--sha256", manifest["artifacts"][0]["sha256"], copy])
    copy.unlink()
