"""Serve HTTP on loopback until told to stop, then leave no process behind."""

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from ministack import app as ministack_app

from . import control, workers
from .lab import Lab

# Requests in flight get this long after SIGTERM; the whole stop stays below 3 s.
_GRACE_SECONDS = 0.5


def run(lab: Lab) -> int:
    """Serve; returns the exit status."""
    if _port_is_taken(lab.settings.port):
        print(f"lab emulator: 127.0.0.1:{lab.settings.port} is in use: stop its owner or choose --port", file=sys.stderr)
        return 2
    logging.getLogger("hypercorn.error").setLevel(lab.settings.log_level)
    _raise_file_limit()
    try:
        asyncio.run(_serve(lab))
    finally:
        workers.kill_all()
        shutil.rmtree(lab.settings.scratch / "tmp", ignore_errors=True)
        # Threads of hanging regions and of running executions would hold the
        # interpreter; nothing here needs its exit handlers.
        sys.stderr.flush()
        os._exit(0)


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
    if server.done() and not server.cancelled() and server.exception():
        print(f"lab emulator: {server.exception()}", file=sys.stderr)


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


def _port_is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _raise_file_limit() -> None:
    """500 concurrent functions use about 1,350 descriptors; the usual soft limit is 1,024."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
