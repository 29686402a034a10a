"""Makes the package importable without starting it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab_emulator import alarm_rules, pin  # noqa: E402,F401
