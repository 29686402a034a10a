"""`python -m lab_emulator.asl FILE...`: every fault of these definitions, one a line; 1 when there is one."""

import sys
from pathlib import Path

from . import check


def main(paths: list[str]) -> int:
    if not paths:
        print("usage: python -m lab_emulator.asl FILE...", file=sys.stderr)
        return 2
    faults = 0
    for path in paths:
        try:
            found = check(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 2
        faults += len(found)
        for problem in found:
            print(f"{path}: {problem}")
    print(f"{len(paths)} machines, {faults or 'nothing'} found")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
