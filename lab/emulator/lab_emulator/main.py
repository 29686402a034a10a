"""Start: check the pin, clean the environment, install the mends, serve."""

import os
import shutil
import sys
import tempfile

from . import pin, settings as settings_module
from .lab import Lab


def main() -> int:
    """Run until SIGTERM or the parent's end. 2 = refused to start."""
    settings = settings_module.parse(sys.argv[1:], os.environ)
    try:
        pin.check_version()
        _prepare(settings)
        # ministack reads its environment when it is imported, so only now.
        from . import mends, serve

        lab = Lab(settings)
        mends.install(lab)
    except pin.PinError as error:
        print(f"lab emulator: {error}", file=sys.stderr)
        return 2
    return serve.run(lab)


def _prepare(settings: settings_module.Settings) -> None:
    """Empty the scratch directory and leave only the chosen environment."""
    environment = settings_module.ministack_environment(settings, os.environ)
    shutil.rmtree(settings.scratch, ignore_errors=True)
    (settings.scratch / "tmp").mkdir(parents=True)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = str(settings.scratch / "tmp")
