"""Start: check the pin, clean the environment, install the mends, serve."""

import os
import shutil
import socket
import sys
import tempfile

from . import pin, settings as settings_module
from .lab import Lab


def main() -> int:
    """Run until SIGTERM or the parent's end. 2 = refused to start."""
    settings = settings_module.parse(sys.argv[1:], os.environ)
    # Before anything is prepared: the directory would be the running one's.
    if _port_is_taken(settings.port):
        print(f"lab emulator: 127.0.0.1:{settings.port} is in use: stop its owner or choose --port", file=sys.stderr)
        return 2
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
    serve.run(lab)


def _port_is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _prepare(settings: settings_module.Settings) -> None:
    """Make an empty directory for temporary files and leave only the chosen environment."""
    environment = settings_module.ministack_environment(settings, os.environ)
    temporary = settings.scratch / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = str(temporary)
