"""Which regions are dark, and how.

A region that is dark in mode `kill` has lost its machines: what ran there has
failed and what is started there fails. In mode `hang` nothing there makes
progress until it is lit again: callers wait. Both leave other regions alone,
so nothing here may hold a lock while it waits.
"""

import threading
from typing import Callable

KILL = "kill"
HANG = "hang"


class Regions:
    """The light switch of every region. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dark: dict[str, str] = {}
        self._lit: dict[str, threading.Event] = {}
        self._deferred: dict[str, list[Callable[[], None]]] = {}
        self._on_dark: list[Callable[[str, str], None]] = []
        self._on_lit: list[Callable[[str], None]] = []

    def mode(self, region: str) -> str | None:
        """`kill`, `hang`, or None when the region is lit."""
        return self._dark.get(region)

    def dark(self) -> dict[str, str]:
        """Every dark region with its mode."""
        return dict(self._dark)

    def on_change(self, dark: Callable[[str, str], None], lit: Callable[[str], None]) -> None:
        """Call `dark(region, mode)` after a region goes dark and `lit(region)` after it is back."""
        self._on_dark.append(dark)
        self._on_lit.append(lit)

    def darken(self, region: str, mode: str) -> None:
        """Make the region dark; doing it twice, or changing the mode, is fine."""
        if mode not in (KILL, HANG):
            raise ValueError("mode must be kill or hang")
        with self._lock:
            waiting = self._lit.setdefault(region, threading.Event())
            waiting.clear()
            self._dark[region] = mode
            if mode == KILL:
                # Whoever hangs there must fail now instead.
                waiting.set()
                self._deferred.pop(region, None)
        for hook in self._on_dark:
            hook(region, mode)

    def light(self, region: str) -> None:
        """Bring the region back; what was deferred while it hung happens now."""
        with self._lock:
            self._dark.pop(region, None)
            deferred = self._deferred.pop(region, [])
            waiting = self._lit.get(region)
        for hook in self._on_lit:
            hook(region)
        if waiting is not None:
            waiting.set()
        for action in deferred:
            threading.Thread(target=action, daemon=True, name=f"lab-deferred-{region}").start()

    def pass_or_wait(self, region: str) -> bool:
        """True when the region is lit; waits while it hangs; False when it is dark in mode kill."""
        while (mode := self._dark.get(region)) is not None:
            if mode == KILL:
                return False
            self._lit[region].wait(timeout=1.0)
        return True

    def defer(self, region: str, action: Callable[[], None]) -> None:
        """Remember an action of a hanging region for when it is lit; drop it in mode kill."""
        with self._lock:
            if self._dark.get(region) == HANG:
                self._deferred.setdefault(region, []).append(action)
