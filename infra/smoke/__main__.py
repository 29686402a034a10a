"""What only AWS can prove, in a sandbox account: `make aws-smoke`.

It says what it will make, what that costs and how long it takes, asks, runs the rows, removes everything,
prints a table and keeps it in target/aws-smoke/. It runs against any endpoint that speaks AWS's API
(AWS_ENDPOINT_URL); what an endpoint does not have is a row that was not run, never one that passed.
"""

import argparse
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import botocore.exceptions

import account
import cleanup
import report
import rows
from world import World

OK, FAILED, REFUSED, IN_PART = 0, 1, 2, 3


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make aws-smoke",
        description=__doc__.split("\n\n")[0],
        epilog="Exit codes: 0 every row passed; 1 a row failed, or something was left behind; 2 refused, "
        "nothing was touched; 3 what ran passed, and some rows were not run. Credentials come from where the "
        "AWS CLI takes them; AWS_PROFILE chooses. In make, put these options into SMOKE.",
    )
    parser.add_argument("--regions", nargs=2, required=True, metavar="REGION", help="site a's region, site b's region")
    parser.add_argument("--witness", metavar="REGION", help="the third register's region, which gets a bucket (default: the first of us-east-2, eu-west-1 and us-west-1 that is none of the two)")
    parser.add_argument("--account", metavar="ID", help="the sandbox account's number: asks for nothing else to be sure of it")
    parser.add_argument("--only", nargs="+", choices=[row.name for row in rows.ALL], metavar="ROW", help="run these rows alone: %(choices)s")
    parser.add_argument("--existing", metavar="APP", help="use the stacks and the app that are there, and remove neither")
    parser.add_argument("--zone", metavar="ID", help="a hosted zone that resolvers are delegated to; without it the switch is not tried")
    parser.add_argument("--resolver", action="append", metavar="IP[:PORT]", help="a resolver that has to see the switch; several may be given (default: the system's)")
    parser.add_argument("--lifeboat", default="target/debug/lifeboat", metavar="FILE", help="the command (default: %(default)s)")
    parser.add_argument("--arch", default="x86_64", choices=["x86_64", "arm64"], help="what the functions were built for (default: %(default)s)")
    parser.add_argument("--yes", action="store_true", help="do not ask; needs --account")
    parser.add_argument("--remove", action="store_true", help="only remove what an earlier run left behind")
    return parser.parse_args()


def agreed(world: World, options: argparse.Namespace) -> bool:
    chosen = [row for row in rows.ALL if not options.only or row.name in options.only]
    print(f"Account {world.account}, regions {' and '.join(world.regions)}. It will, in this order:")
    tried = rows.tried(chosen, options.existing is not None, options.zone is not None)
    for row in tried:
        print(f"  {row.name:18} {row.does}")
    minutes, dollars = rows.estimate(tried)
    print(f"At most about {minutes} minutes and ${dollars:.2f}. Everything is tagged {account.TAG} and removed at the end.")
    if options.yes and options.account:
        return True
    if not sys.stdin.isatty():
        print("aws-smoke: nobody can be asked here: give --yes and --account", file=sys.stderr)
        return False
    return input("Type the account's number to go on: ").strip() == world.account


def main() -> int:
    options = arguments()
    # An end by SIGTERM is cleaned up after like one by Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        world = World(options)
        refused = account.refusal(account.look(world), options)
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.ProfileNotFound) as error:
        print(f"aws-smoke: {error}: sign in first (aws sso login), or set AWS_PROFILE", file=sys.stderr)
        return REFUSED
    except botocore.exceptions.BotoCoreError as error:
        print(f"aws-smoke: {error}", file=sys.stderr)
        return REFUSED
    if refused:
        print(f"aws-smoke: {refused}; nothing was touched", file=sys.stderr)
        return REFUSED
    if options.remove:
        left = cleanup.remove(world)
        print("\n".join(left) if left else "nothing is left")
        return FAILED if left else OK
    if not agreed(world, options):
        print("aws-smoke: not agreed; nothing was touched", file=sys.stderr)
        return REFUSED

    began = datetime.now(UTC)
    results, left = [], []
    try:
        for row in rows.ALL:
            if not options.only or row.name in options.only:
                results.append(report.run(row, world))
    except KeyboardInterrupt:
        print("\naws-smoke: stopped; removing what was made", file=sys.stderr)
    finally:
        left = cleanup.remove(world)
    done = {result["row"] for result in results}
    results += [
        {"row": row.name, "outcome": "not run", "says": "stopped before it", "seconds": 0.0}
        for row in rows.ALL
        if row.name not in done and (not options.only or row.name in options.only)
    ]
    path = report.keep(Path("target/aws-smoke"), began, world, results, left)
    report.table(results, left, path)
    outcomes = {result["outcome"] for result in results}
    if "failed" in outcomes or left:
        return FAILED
    return IN_PART if "not run" in outcomes else OK


sys.exit(main())
