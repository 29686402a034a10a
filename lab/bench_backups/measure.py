"""Programs, how long they took, and what they used."""

import contextlib
import os
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path


class Missed(Exception):
    """A part cannot be measured; the text says what to do."""


@dataclass(frozen=True)
class Run:
    """One run of a command."""

    seconds: float
    processor_seconds: float
    # What it and its children gave to a disk; what pipes and sockets carry is not in it.
    written_mib: float
    code: int


def run(command, cores: str | None = None, wanted=(0,), **more) -> Run:
    """Run a command to its end, on these cores; one that ends with another code than wanted ends the bench."""
    command = [str(part) for part in command]
    words = ["taskset", "-c", cores, *command] if cores else command
    began = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stderr.close()
    if child.returncode not in wanted:
        raise Missed(f"{' '.join(command)} ended with {child.returncode}: {said.decode(errors='replace').strip()}")
    # In blocks of 512 bytes (getrusage(2)).
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_oublock / 2048, child.returncode)


def peak_mib(command) -> float:
    """The most memory that a program held, itself included. getrusage's figure would be that of this process."""
    child = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    while child.poll() is None:
        with contextlib.suppress(OSError), open(f"/proc/{child.pid}/status", encoding="ascii") as status:
            most = max([most, *(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))])
        time.sleep(0.002)
    if child.returncode != 0 or most == 0:
        raise Missed(f"{' '.join(map(str, command))} ended with {child.returncode}, its memory was {most} KiB")
    return most / 1024


def in_turn(runs: int, commands: dict, **more) -> dict:
    """Each command once, and again: what disturbs one then disturbs the others too. Seconds by name."""
    seen = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            seen[name].append(run(command, **more))
    return {
        name: {
            **spread([one.seconds for one in each]),
            "processor_seconds": round(statistics.median(one.processor_seconds for one in each), 3),
        }
        for name, each in seen.items()
    }


def spread(values: list) -> dict:
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "greatest": round(max(values), 3),
    }


def told(figures: dict) -> str:
    return f"{figures['median']:.2f} s ({figures['least']:.2f} to {figures['greatest']:.2f})"


def say(line: str) -> None:
    print(f"  {line}", flush=True)


class Watch(threading.Thread):
    """The most that a folder held while it was watched, in bytes beyond what it held at first."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder, self._over, self.most = folder, threading.Event(), 0
        self._first = self._held()

    def _held(self) -> int:
        total = 0
        for folder, _, names in os.walk(self._folder):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
                except FileNotFoundError:
                    continue  # it went while it was looked at
        return total

    def run(self) -> None:
        while not self._over.wait(0.02):
            self.most = max(self.most, self._held() - self._first)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self.join()
        self.most = max(self.most, self._held() - self._first)


def program(path: Path) -> Path:
    """A program of ours that `make bench` has built."""
    if not path.exists():
        sys.exit(f"{path} is missing: `make bench` builds it, and then runs this")
    return path.resolve()
