"""What is tried, in order."""

from collections.abc import Callable
from dataclasses import dataclass

import databases
import deployment
import messages
import traffic
from world import World


@dataclass(frozen=True)
class Row:
    """One thing to prove."""

    name: str
    does: str
    minutes: int
    # US dollars in us-east-1, December 2026, rounded up: AWS's price pages of RDS, S3 and Route 53.
    dollars: float
    # Whether it also makes sense over stacks that are there.
    over_existing: bool
    try_it: Callable[[World], str]
    # Whether it needs a hosted zone that resolvers are delegated to.
    needs_zone: bool = False

    def run(self, world: World) -> str:
        return self.try_it(world)


ALL = [
    Row("definitions", "has Step Functions validate every state machine", 1, 0.0, True, deployment.definitions),
    Row("rollback", "makes a first deployment fail, and looks that nothing is left in its way", 6, 0.0, False, deployment.rollback),
    Row("deploy", "deploys the stack into both regions, and the witness's bucket into a third", 12, 0.01, False, deployment.deploy),
    Row("replication", "puts a locked object into one region's backups, and waits for its locked copy", 15, 0.01, True, deployment.replication),
    Row("databases", "makes a db.t4g.micro with a standby, its replica in the other region, and a plan for them", 35, 0.10, False, databases.make),
    Row("engine-failover", "forces the database's own failover, which must not start a recovery", 8, 0.03, False, databases.engine_failover),
    Row("alarm-to-message", "sets the alarm of a lost site, and waits for the recovery and its message", 3, 0.0, True, messages.alarm_to_message),
    Row("switch", "moves a name by one object, and waits for real resolvers", 5, 1.0, True, traffic.switch, needs_zone=True),
    Row("redeploy", "deletes the stacks, and deploys over the buckets that were kept", 25, 0.01, False, deployment.redeploy),
]


def tried(chosen: list[Row], over_existing: bool, has_zone: bool) -> list[Row]:
    """Those that are not skipped for what was not given; each says so itself when its turn comes."""
    return [row for row in chosen if (row.over_existing or not over_existing) and (has_zone or not row.needs_zone)]


def estimate(tried: list[Row]) -> tuple[int, float]:
    """Minutes and US dollars."""
    return sum(row.minutes for row in tried), sum(row.dollars for row in tried)
