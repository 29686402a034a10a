"""Drills in a row, and the median of what they measured.

    python lab/bench.py --lab target/debug/lifeboat-lab [--runs 5] [--modes kill hang]

Every run is a drill of its own, from an empty lab. Each result is kept in
target/drill/bench/<mode>-<run>.json, and the summary in target/drill/bench.json. It fails when a drill
failed, whatever the medians.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

SCENARIO = "region-outage"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lab", type=Path, required=True, help="the lifeboat-lab program")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--modes", nargs="+", default=["kill", "hang"], choices=["kill", "hang"])
    options = parser.parse_args()

    kept = Path("target/drill/bench")
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    summary = {mode: measure(options.lab, mode, options.runs, kept) for mode in options.modes}
    Path("target/drill/bench.json").write_text(json.dumps(summary, indent=2) + "\n")
    print()
    for mode, result in summary.items():
        show(mode, result)
    print(f"\neach result: {kept}/, the summary: target/drill/bench.json")
    return 0 if all(result["passed"] == result["runs"] for result in summary.values()) else 1


def measure(lab: Path, mode: str, runs: int, kept: Path) -> dict:
    reports = []
    for run in range(1, runs + 1):
        print(f"\n== {SCENARIO}, mode {mode}, {run} of {runs}", flush=True)
        report = Path(f"target/drill/{SCENARIO}.json")
        report.unlink(missing_ok=True)
        began = time.monotonic()
        code = subprocess.call([lab.resolve(), "drill", SCENARIO, "--mode", mode])
        if not report.exists():
            # The lab did not start, or the drill broke off: counted as failed.
            reports.append({"verdict": "none", "exit": code})
            continue
        result = json.loads(report.read_text())
        result["whole_drill_seconds"] = round(time.monotonic() - began, 1)
        (kept / f"{mode}-{run}.json").write_text(json.dumps(result, indent=2) + "\n")
        if code != 0:
            result["verdict"] = "fail"
        reports.append(result)
    return summarise(reports)


def summarise(reports: list[dict]) -> dict:
    measured = [report for report in reports if "parts" in report]
    # The parts in the order of the first report that has them.
    parts = list(dict.fromkeys(name for report in measured for name in report["parts"]))
    return {
        "runs": len(reports),
        "passed": sum(report["verdict"] == "pass" for report in reports),
        "achieved_rto_seconds": spread([r.get("achieved_rto_seconds") for r in measured]),
        "parts": {name: spread([r["parts"].get(name) for r in measured]) for name in parts},
        "achieved_rpo_seconds": spread([r.get("achieved_rpo_seconds") for r in measured]),
        "writes_lost": [r["writes_lost"] for r in measured],
        "stale_writes_accepted": [r["stale_writes_accepted"] for r in measured],
        "whole_drill_seconds": spread([r["whole_drill_seconds"] for r in measured]),
    }


def spread(values: list) -> dict | None:
    """Median, least and greatest of what was measured; none when nothing was."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {
        "median": round(statistics.median(known), 3),
        "least": min(known),
        "greatest": max(known),
        "measured": len(known),
    }


def show(mode: str, result: dict) -> None:
    print(f"mode {mode}: {result['passed']} of {result['runs']} drills passed")
    rows = [("achieved RTO", result["achieved_rto_seconds"])]
    rows += [(f"  {name}", figures) for name, figures in result["parts"].items()]
    rows += [("achieved RPO", result["achieved_rpo_seconds"])]
    rows += [("a whole drill", result["whole_drill_seconds"])]
    for name, figures in rows:
        if figures is None:
            print(f"  {name:<22} not measured")
        else:
            print(
                f"  {name:<22} {figures['median']:8.3f} s median"
                f"   {figures['least']:8.3f} to {figures['greatest']:.3f} s"
            )
    print(f"  writes lost            {result['writes_lost']}")
    print(f"  stale writes accepted  {result['stale_writes_accepted']}")


if __name__ == "__main__":
    sys.exit(main())
