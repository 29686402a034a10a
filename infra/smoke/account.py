"""Whether this is an account to try things in."""

import re
from dataclasses import dataclass

TAG = "lifeboat-smoke"

# An account in use has more than this. Both are judgement: a sandbox that is fuller is emptied first,
# or a row is tried in another one.
MOST_DATABASES = 3
MOST_STACKS = 10


@dataclass(frozen=True)
class Seen:
    """What the account looks like."""

    number: str
    aliases: list[str]
    databases: list[str]
    stacks: list[str]
    ours: list[str]
    buckets: list[str]


def look(world) -> Seen:
    databases, stacks, ours = [], [], []
    for region in world.regions:
        pages = world.client("rds", region).get_paginator("describe_db_instances").paginate()
        databases += [one["DBInstanceIdentifier"] for page in pages for one in page["DBInstances"]]
        pages = world.client("cloudformation", region).get_paginator("describe_stacks").paginate()
        for one in (stack for page in pages for stack in page["Stacks"]):
            stacks.append(one["StackName"])
            # deploy.sh names it so.
            if one["StackName"] == "lifeboat":
                ours.append(region)
    aliases = world.client("iam").list_account_aliases()["AccountAliases"]
    buckets = [bucket["Name"] for bucket in world.client("s3").list_buckets()["Buckets"]]
    buckets = [name for name in buckets if name.startswith("lifeboat-") and f"-{world.account}-" in name]
    return Seen(world.account, aliases, databases, stacks, ours, buckets)


def refusal(seen: Seen, options) -> str | None:
    """Why nothing may be tried here; None when it may."""
    if options.regions[0] == options.regions[1]:
        return "the two regions are one"
    if options.witness in options.regions:
        return "the witness's region is one of the two: it has to be a third"
    if options.yes and not options.account:
        return "--yes needs --account, so that a wrong profile is noticed"
    if options.account and options.account != seen.number:
        return f"the credentials are of account {seen.number}, not {options.account}"
    for alias in seen.aliases:
        if re.search(r"(^|[^a-z])(prod|prd|live)([^a-z]|uction|$)", alias):
            return f"the account is called {alias}, which sounds like production"
    if options.existing:
        if sorted(seen.ours) != sorted(options.regions):
            return "--existing needs the stack lifeboat in both regions"
        return None
    if seen.ours and not options.remove:
        return f"the stack lifeboat is in {', '.join(sorted(set(seen.ours)))}: this is not a sandbox, or a run left it (--remove)"
    if seen.buckets and not options.remove:
        return f"the bucket {seen.buckets[0]} is there: this account had Lifeboat, or a run left it (--remove)"
    others = [name for name in seen.databases if not name.startswith(f"{TAG}-")]
    if len(others) > MOST_DATABASES:
        return f"{len(others)} databases are here: this looks like an account in use"
    if len(seen.stacks) > MOST_STACKS:
        return f"{len(seen.stacks)} stacks are here: this looks like an account in use"
    return None
