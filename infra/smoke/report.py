"""How a run is told: a line when a row begins and ends, a table, and JSON."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import botocore.exceptions

from world import MISSING, Failed, NotRun


def run(row, world) -> dict:
    print(f"{row.name}: {row.does} ...", flush=True)
    began = time.monotonic()
    try:
        outcome, says = "passed", row.run(world)
    except NotRun as why:
        outcome, says = "not run", str(why)
    except Failed as why:
        outcome, says = "failed", str(why)
    except subprocess.CalledProcessError as error:
        tail = (error.stderr or error.stdout or "").strip().splitlines()[-3:]
        outcome, says = "failed", f"{Path(error.cmd[0]).name} exited with {error.returncode}: {' '.join(tail)}"
    except botocore.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        missing = code in MISSING
        outcome = "not run" if missing else "failed"
        says = f"this endpoint has no {error.operation_name}" if missing else str(error)
    except (botocore.exceptions.BotoCoreError, OSError) as error:
        outcome, says = "failed", f"{type(error).__name__}: {error}"
    result = {"row": row.name, "outcome": outcome, "says": says, "seconds": round(time.monotonic() - began, 1)}
    print(f"{row.name}: {outcome}, {says}", flush=True)
    return result


def keep(folder: Path, began: datetime, world, results: list[dict], left: list[str]) -> Path:
    """One file a run, in the order of time."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = began.strftime("%Y-%m-%dT%H%M%SZ")
    path = folder / f"{stamp}.json"
    told = {
        "started_at": began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "ended_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "account": world.account,
        "regions": world.regions,
        "rows": results,
        "left": left,
    }
    path.write_text(json.dumps(told, indent=2) + "\n")
    return path


def table(results: list[dict], left: list[str], path: Path) -> None:
    colours = {"passed": "32", "failed": "31", "not run": "33"} if sys.stdout.isatty() else {}
    print()
    for result in results:
        outcome = f"{result['outcome']:8}"
        if colours:
            outcome = f"\x1b[{colours[result['outcome']]}m{outcome}\x1b[0m"
        print(f"{result['row']:18} {outcome} {result['seconds']:7.1f} s  {result['says']}")
    for one in left:
        print(f"left behind: {one}")
    print(f"Kept in {path}")
