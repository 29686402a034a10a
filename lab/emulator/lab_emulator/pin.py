"""Refuse to run on a ministack that is not the one the mends were written for.

The mends replace private functions. A newer version may move or change them,
and a patch that no longer bites would bring the silent lies back. So the
version is exact, and each replaced or called function must have the parameter
names that it had when its mend was written.
"""

import inspect
from importlib import metadata

MINISTACK_VERSION = "1.5.33"


class PinError(Exception):
    """The installed ministack is not the expected one; the text says what differs and what to do."""


def check_version() -> None:
    """Raise `PinError` unless exactly `MINISTACK_VERSION` is installed."""
    try:
        found = metadata.version("ministack")
    except metadata.PackageNotFoundError:
        raise PinError("ministack is not installed: install lab/emulator/requirements.txt") from None
    if found != MINISTACK_VERSION:
        raise PinError(
            f"ministack {found} is installed, but the lab is written for {MINISTACK_VERSION}: "
            "install lab/emulator/requirements.txt"
        )


def expect(owner, name: str, parameters: str):
    """Return `owner.name` after checking that its parameter names are `parameters` (space separated)."""
    function = getattr(owner, name, None)
    where = f"{getattr(owner, '__name__', owner)}.{name}"
    if function is None:
        raise PinError(f"{where} does not exist in ministack {MINISTACK_VERSION}: adapt its mend")
    found = " ".join(inspect.signature(function).parameters)
    if found != parameters:
        raise PinError(f"{where} takes ({found}), expected ({parameters}): adapt its mend")
    return function


def replace(owner, name: str, parameters: str, make) -> None:
    """Replace `owner.name` by `make(original)`, a new function, after checking the original's parameters."""
    original = expect(owner, name, parameters)
    replacement = make(original)
    # Several mends may wrap one function: each must see the original's signature.
    replacement.__wrapped__ = original
    setattr(owner, name, replacement)
