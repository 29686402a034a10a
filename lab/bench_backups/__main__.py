"""Backups against their peers, side by side in one run, and against their promises.

    python lab/bench_backups --bin target/release [--runs 5] [--only read take keep plan sweep wal damage]

It makes a database of about 1 GB (pgbench and a table with jsonb) in a PostgreSQL of its own, and for
the parts that need it starts the lab's AWS (emulator and gateway) without any site; all of it lives in
target/bench, on free ports of loopback, and is ended and removed. A figure is the median of the runs,
with the least and the greatest; commands that are compared take turns. The summary goes to
target/drill/bench-backups.json. It exits with 1 when a target is missed, or a part could not be measured.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import sys
from pathlib import Path

import damage
import keep
import plan
import read
import sweep
import take
import wal
from cloud import apply_plan, cloud
from measure import Missed
from server import postgres

HOME = Path("target/bench")
SUMMARY = Path("target/drill/bench-backups.json")

# Each part, and what it needs, in the order of its arguments.
PARTS = {
    "read": (read.bench, ("server",)),
    "take": (take.bench, ("server", "cloud")),
    "keep": (keep.bench, ("server",)),
    "plan": (plan.bench, ()),
    "sweep": (sweep.bench, ("cloud",)),
    "wal": (wal.bench, ("server", "cloud")),
    "damage": (damage.bench, ("server",)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, required=True, help="the folder of a release build")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS))
    options = parser.parse_args()
    # What was started is ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    HOME.chmod(0o755)
    summary, missed = {"machine": machine()}, []
    try:
        with contextlib.ExitStack() as stack:
            needs = Needs(options, stack)
            for name in options.only:
                bench, wanted = PARTS[name]
                given = [needs.get(need) for need in wanted]
                print(f"\n== {name}", flush=True)
                try:
                    figures = bench(options, *given, HOME)
                except Missed as error:
                    figures = {"error": str(error), "targets": {str(error): False}}
                summary[name] = figures
                for line, met in figures["targets"].items():
                    print(f"  {'✓' if met else '✗'} {line}", flush=True)
                    if not met:
                        missed.append(f"{name}: {line}")
    except Missed as error:
        sys.exit(str(error))
    finally:
        shutil.rmtree(HOME, ignore_errors=True)
    SUMMARY.parent.mkdir(parents=True, exist_ok=True)
    SUMMARY.write_text(json.dumps(summary, indent=2) + "\n")
    print(f"\nthe summary: {SUMMARY}")
    if missed:
        print("missed:\n  " + "\n  ".join(missed), file=sys.stderr)
    return 1 if missed else 0


class Needs:
    """What the parts need, started when the first of them asks for it."""

    def __init__(self, options, stack: contextlib.ExitStack) -> None:
        self._options, self._stack, self._started = options, stack, {}

    def get(self, name: str):
        if name not in self._started:
            self._started[name] = self._start(name)
        return self._started[name]

    def _start(self, name: str):
        if name == "server":
            return self._stack.enter_context(postgres(HOME))
        started = self._stack.enter_context(cloud(self._options, HOME))
        # A sweep asks nothing of the database; then its port is not needed, and any will do.
        wants_server = any("server" in PARTS[part][1] and "cloud" in PARTS[part][1] for part in self._options.only)
        apply_plan(self._options, started, HOME, self.get("server").port if wants_server else 5432)
        return started


def machine() -> dict:
    cores = len(os.sched_getaffinity(0))
    models = [line.partition(": ")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    load = os.getloadavg()[0]
    print(f"{cores} cores ({models[0] if models else platform.machine()}), load {load:.2f}", flush=True)
    return {"cores": cores, "processor": models[0] if models else platform.machine(), "load_at_start": round(load, 2)}


if __name__ == "__main__":
    sys.exit(main())
