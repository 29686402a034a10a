"""The retention planner on a million recovery points, in four shapes."""

import json
import subprocess

from measure import Missed, program, say


def bench(options, _home) -> dict:
    runs = []
    for _ in range(min(options.runs, 3)):
        done = subprocess.run([program(options.bin / "examples/plan_a_million")], capture_output=True, text=True)
        if not done.stdout:
            raise Missed(f"plan_a_million: {done.stderr.strip()}")
        runs.append([json.loads(line) for line in done.stdout.splitlines()])
    # Of each shape the median run by the clock.
    shapes = [sorted(each, key=lambda one: one["seconds"])[len(each) // 2] for each in zip(*runs, strict=True)]
    for one in shapes:
        say(
            f"{one['shape']:<7} {one['points']:,} points: {one['seconds']:.2f} s "
            f"({one['processor_seconds']:.2f} s of processor), {one['deleted']:,} to delete, {one['peak_mib']} MiB"
        )
    slowest, most = max(one["seconds"] for one in shapes), max(one["peak_mib"] for one in shapes)
    return {
        "shapes": shapes,
        "targets": {
            f"1,000,000 points planned in {slowest:.2f} s (2)": slowest <= 2 and all(one["points"] == 1_000_000 for one in shapes),
            f"within {most} MiB of memory, the catalogue included (1024)": most <= 1024,
        },
    }
