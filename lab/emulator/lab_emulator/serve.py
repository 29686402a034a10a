"""Serve HTTP on loopback until told to stop, then leave no process behind."""

import asyncio
import logging
import os
import shutil
import signal
import sys
import threading
import time
from typing import NoReturn

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from ministack import app as ministack_app

from . import control, workers
from .lab import Lab

# Requests in flight get this long after SIGTERM; the whole stop stays below 3 s.
_GRACE_SECONDS = 0.5


def run(lab: Lab) -> NoReturn:
    """Serve, then end the process: status 0 after a stop, 1 when it could not serve."""
    logging.getLogger("hypercorn.error").setLevel(lab.settings.log_level)
    _raise_file_limit()
    status = 1
    try:
        asyncio.run(_serve(lab))
        status = 0
    except Exception as error:
        print(f"lab emulator: {error}", file=sys.stderr)
    finally:
        workers.kill_all()
        shutil.rmtree(lab.settings.scratch / "tmp", ignore_errors=True)
        # Threads of hanging regions and of running executions would hold the
        # interpreter; nothing here needs its exit handlers.
        sys.stderr.flush()
        os._exit(status)


async def _serve(lab: Lab) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if not lab.settings.outlive_parent:
        _watch_parent(lambda: loop.call_soon_threadsafe(stop.set))
    config = Config()
    config.bind = [f"127.0.0.1:{lab.settings.port}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = _GRACE_SECONDS
    config.loglevel = lab.settings.log_level
    config.errorlog = "-" if lab.settings.log_level != "ERROR" else None
    application = control.Control(lab, ministack_app.app)
    server = asyncio.ensure_future(hypercorn_serve(application, config, shutdown_trigger=stop.wait))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({server, stopping}, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait({server}, timeout=2 * _GRACE_SECONDS)
    if server.done():
        server.result()  # raises why it could not serve


def _watch_parent(on_end) -> None:
    """Call `on_end` once this process has another parent than at start.

    PR_SET_PDEATHSIG is no use here: it fires when the parent's *thread* that
    started this process ends, and a thread pool ends its threads when idle.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.25)
        on_end()

    threading.Thread(target=watch, daemon=True, name="lab-parent-watch").start()


def _raise_file_limit() -> None:
    """500 concurrent functions use about 1,350 descriptors; the usual soft limit is 1,024."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
