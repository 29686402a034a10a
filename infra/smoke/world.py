"""The account and the regions that a run works in, and what it has made there."""

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import boto3
from botocore.config import Config


class Failed(Exception):
    """AWS did otherwise than Lifeboat needs."""


class NotRun(Exception):
    """The row could not be tried, and says why."""


# How an endpoint says that it does not have an operation (API guides, "Common errors").
MISSING = {"InvalidAction", "UnknownOperationException", "NotImplemented", "UnsupportedOperation"}


# One of them is none of the two regions.
WITNESSES = ("us-east-2", "eu-west-1", "us-west-1")


@dataclass
class World:
    """One run."""

    options: object
    regions: list[str] = field(init=False)
    # The third register's region.
    witness: str = field(init=False)
    account: str = field(init=False)
    # Names of what this run makes end in it, so that two runs never meet.
    run: str = field(default_factory=lambda: secrets.token_hex(3))
    # What to undo, newest last: (what it is, how).
    made: list[tuple[str, Callable[[], object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.regions = list(self.options.regions)
        self.witness = self.options.witness or next(one for one in WITNESSES if one not in self.regions)
        self.account = self.client("sts").get_caller_identity()["Account"]

    def client(self, service: str, region: str | None = None):
        """A client of a region, the first one's by default. Calls end: a run must not hang."""
        limits = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 4})
        return boto3.client(service, region_name=region or self.regions[0], config=limits)

    @property
    def app(self) -> str:
        return self.options.existing or "smoke"

    def environment(self, region: str | None = None) -> dict[str, str]:
        """For the programs that a row calls."""
        return {**os.environ, "AWS_REGION": region or self.regions[0], "AWS_DEFAULT_REGION": region or self.regions[0]}

    def will_undo(self, what: str, how: Callable[[], object]) -> None:
        self.made.append((what, how))


def until(what: str, seconds: int, look: Callable[[], object], every: float = 5.0):
    """The first answer of `look` that is true, within so many seconds."""
    ends = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() >= ends:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(min(every, max(0.1, ends - time.monotonic())))
