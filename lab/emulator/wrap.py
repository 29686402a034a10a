#!/usr/bin/env python3
"""Start the lab's AWS emulator: `target/tools/venv/bin/python lab/emulator/wrap.py --port 4566`.

Options and environment: see `lab_emulator/settings.py` or `--help`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lab_emulator.main import main  # noqa: E402  (the package lies beside this file)

if __name__ == "__main__":
    sys.exit(main())
