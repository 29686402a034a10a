"""Archived WAL is read once: what `verify-backup` fetches, counted at the gateway."""

import json
import queue
import signal
import subprocess
import threading
import time

from cloud import APP, REGION, SITE, function
from measure import Missed, program, say

SEGMENTS = 12
# Until the server knows the receiver, and between two files that are archived: both take about a second.
PATIENCE = 60


def bench(options, server, cloud, home) -> dict:
    bucket = cloud.bucket("bench-wal")
    receiver = Receiver(options, server, cloud, bucket, home)
    try:
        first = receiver.segments(SEGMENTS)
        environment = {**cloud.environment(), "BACKUP_BUCKET": bucket}
        with function(options.bin / "verify-backup", environment, home / "verify-backup.log") as invoke:

            def check() -> tuple[list, list]:
                """What was due, and the segments that were fetched for it; asked even when nothing is due."""
                since = cloud.last_call()
                due = [one for one in invoke({"action": "due", "app": APP})["due"] if one["kind"] == "database-wal"]
                newest = due[0]["id"] if due else max(receiver.archived)
                invoke({"action": "check", "app": APP, "kind": "database-wal", "id": newest, "depth": "read"})
                gets = [call for call in cloud.calls(since) if call["operation"] == "GetObject"]
                return due, [call["resource"] for call in gets if f"wal/{APP}/" in (call["resource"] or "")]

            due_at_first, read_at_first = check()
            due_again, read_again = check()
            receiver.segments(1)
            new = len(receiver.archived) - first
            _, read_after = check()
    finally:
        receiver.stop()
    say(f"{first} segments: {len(read_at_first)} fetched, then {len(read_again)}; {new} more: {len(read_after)} fetched")
    return {
        "segments": first,
        "fetched_first": len(read_at_first),
        "fetched_again": len(read_again),
        "segments_more": new,
        "fetched_for_those": len(read_after),
        "targets": {
            f"all {first} segments read at first, each once": bool(due_at_first)
            and len(read_at_first) == len(set(read_at_first)) == first,
            f"{len(read_again)} read again, and nothing due (0)": not read_again and not due_again,
            f"{len(read_after)} read for {new} new": len(read_after) == new,
        },
    }


class Receiver:
    """`lifeboat host wal receive`, and what it has archived."""

    def __init__(self, options, server, cloud, bucket: str, home) -> None:
        self._server, self.archived = server, []
        command = [
            program(options.bin / "lifeboat"), "host", "wal", "receive", "--app", APP, "--site", SITE,
            "--region", REGION, "--bucket", bucket, "--directory", home / "wal",
        ]  # fmt: skip
        self._process = subprocess.Popen(command, env=cloud.environment(), stdout=subprocess.PIPE, text=True)
        self._lines = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        until = time.monotonic() + PATIENCE
        # What is written before the slot is there is not received.
        while server.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "0":
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise Missed("lifeboat host wal receive does not receive: its line above says why")
            time.sleep(0.1)

    def _listen(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line)

    def segments(self, count: int) -> int:
        """Makes so much WAL, waits until so many segments more are archived, and says how many there are."""
        target = len(self.archived) + count
        for _ in range(count):
            # pg_switch_wal does nothing in a segment without a record.
            self._server.sql("SELECT pg_logical_emit_message(false, 'bench', repeat('x', 1000000)); SELECT pg_switch_wal()")
        while len(self.archived) < target:
            try:
                event = json.loads(self._lines.get(timeout=PATIENCE))
            except queue.Empty:
                raise Missed(f"{len(self.archived)} of {target} segments were archived, and then none") from None
            if event["event"] == "archived" and len(event["file"]) == 24:
                self.archived.append(event["file"])
        return len(self.archived)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
