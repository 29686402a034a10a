"""One fault of a definition."""

from typing import NamedTuple


class Problem(NamedTuple):
    """A fault: AWS's code, what is wrong, and where, as `/States/Name/Field[0]`."""

    code: str
    message: str
    location: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message} at {self.location}"


def schema(message: str, location: str) -> Problem:
    """A fault of form: a field that is missing, unknown, or has a wrong value."""
    return Problem("SCHEMA_VALIDATION_FAILED", message, location)
