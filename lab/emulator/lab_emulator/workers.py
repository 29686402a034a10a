"""The processes that Lambda functions run in: their environment, their end, and who they are.

ministack keeps one process per execution environment in `lambda_runtime._workers`,
keyed `account:region:function:qualifier`. Here each process is started from one
thread that never ends, so that the kernel can kill it with us (the parent-death
signal is bound to the starting thread), and gets an environment of its own.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from ministack.core import lambda_runtime

from . import pin
from .lab import Lab
from .regions import KILL

_PR_SET_PDEATHSIG = 1
_COLLECT_SECONDS = 0.5
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lab-spawner")
_spawning = threading.local()

# What AWS gives a function beside its own variables, and what the language
# workers of ministack need.
_RUNTIME_PREFIXES = ("AWS_", "_LAMBDA_", "LAMBDA_", "_X_AMZN_")
_RUNTIME_NAMES = frozenset({"_HANDLER", "NODE_PATH"})


def install(lab: Lab) -> None:
    """Start workers through this module from now on."""
    pin.replace(lambda_runtime.Worker, "_spawn", "self", lambda original: _named(original))
    pin.replace(
        lambda_runtime.ProvidedWorker, "_spawn", "self init_timeout", lambda original: _named(original)
    )
    lambda_runtime.subprocess = _Subprocess(lab)
    lab.regions.on_change(stop_region, continue_region)


def _named(spawn):
    """Let `_Subprocess.Popen` know which function is being started."""

    def wrapped(self, *args, **kwargs):
        _spawning.config = self.config
        try:
            return spawn(self, *args, **kwargs)
        finally:
            _spawning.config = None

    return wrapped


class _Subprocess:
    """Stands for the `subprocess` module inside ministack's worker module."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def __getattr__(self, name):
        return getattr(subprocess, name)

    def Popen(self, arguments, *, env, **options):  # noqa: N802  (the name that ministack calls)
        config = getattr(_spawning, "config", None) or {}
        env = function_environment(self._lab, config, env)
        if self._prctl is not None:
            options["preexec_fn"] = self._die_with_parent
        # A session of its own keeps a terminal's Ctrl-C away from functions.
        return _spawner.submit(
            subprocess.Popen, arguments, env=env, start_new_session=True, **options
        ).result()

    def _die_with_parent(self) -> None:
        self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def function_environment(lab: Lab, config: dict, given: dict) -> dict:
    """The environment of a function: its own variables, the runtime's, and PATH, LANG, TZ.

    AWS: a function sees its variables and the documented runtime variables.
    ministack: it inherits the emulator's whole environment. Here it also gets
    its region's gateway as endpoint, unless its own variables name another.
    """
    own = (config.get("Environment") or {}).get("Variables") or {}
    env = {
        name: value
        for name, value in given.items()
        if name in own or name in _RUNTIME_NAMES or name.startswith(_RUNTIME_PREFIXES)
    }
    for name in ("PATH", "LANG"):
        if name in os.environ:
            env.setdefault(name, os.environ[name])
    env.setdefault("TZ", ":UTC")
    env["AWS_EC2_METADATA_DISABLED"] = "true"
    # ministack fills in its own address where the function has none.
    env["AWS_ENDPOINT_URL"] = own.get("AWS_ENDPOINT_URL") or lab.settings.endpoint_for(env.get("AWS_REGION", ""))
    return env


def listing() -> list[dict]:
    """Every live worker as `{pid, function, region}`."""
    return [{"pid": process.pid, "function": function, "region": region} for process, function, region in _live()]


def _live() -> list[tuple]:
    """`(process, function, region)` of every worker that has not ended."""
    with lambda_runtime._lock:
        pools = [(key, [worker._proc for worker in pool]) for key, pool in lambda_runtime._workers.items()]
    return [
        (process, key.split(":")[2], key.split(":")[1])
        for key, processes in pools
        for process in processes
        if process is not None and process.poll() is None
    ]


def stop_region(region: str, mode: str) -> None:
    """Kill (mode kill) or freeze (mode hang) the region's workers. Safe to repeat."""
    _signal_region(region, signal.SIGKILL if mode == KILL else signal.SIGSTOP)


def continue_region(region: str) -> None:
    """Let frozen workers of the region go on."""
    _signal_region(region, signal.SIGCONT)


def kill_all() -> None:
    """Kill every worker, frozen ones too, and collect them."""
    live = [process for process, _function, _region in _live()]
    for process in live:
        process.kill()
    for process in live:
        try:
            process.wait(timeout=_COLLECT_SECONDS)
        except subprocess.TimeoutExpired:
            pass  # it is the kernel's now


def _signal_region(region: str, number: int) -> None:
    for process, _function, of_region in _live():
        if of_region == region:
            process.send_signal(number)
