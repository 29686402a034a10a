"""A switch as clients see it: by resolvers that this project does not run."""

import subprocess
import time

from account import TAG
from world import Failed, NotRun, World, until

APP = "smoke-dns"
# Documentation addresses (RFC 5737): nothing is there, and nothing is sent to them.
PRIMARY, SECONDARY = "192.0.2.10", "192.0.2.20"
# A check each 10 s by checkers that agree, one TTL, and a new health check's first verdict (developer
# guide, "How Amazon Route 53 determines whether a health check is healthy").
SEEN_SECONDS = 300


def switch(world: World) -> str:
    if not world.options.zone:
        raise NotRun("needs a hosted zone that resolvers are delegated to: --zone")
    first, second = world.regions
    bucket = f"lifeboat-switch-{world.account}-{second}"
    s3, cloud, route53 = world.client("s3", second), world.client("cloudformation", second), world.client("route53")
    if bucket not in [one["Name"] for one in s3.list_buckets()["Buckets"]]:
        raise NotRun(f"the stack in {second} has no switch bucket: deploy it with HealthCheckSwitch=ENABLED")
    zone = route53.get_hosted_zone(Id=world.options.zone)["HostedZone"]["Name"].rstrip(".")
    name, stack = f"smoke-{world.run}.{zone}", f"lifeboat-dns-{APP}"
    with open("infra/dns.yaml") as file:
        template = file.read()
    values = {
        "App": APP,
        "Name": name,
        "HostedZoneId": world.options.zone,
        "PrimaryAddress": PRIMARY,
        "SecondaryAddress": SECONDARY,
        "SecondarySite": "b",
        "SecondaryRegion": second,
    }
    cloud.create_stack(
        StackName=stack,
        TemplateBody=template,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        Tags=[{"Key": TAG, "Value": world.run}],
    )
    world.will_undo(f"stack {stack}", lambda: delete_stack(cloud, stack))
    cloud.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 2, "MaxAttempts": 150})

    resolvers = world.options.resolver or [None]
    until(f"{name} at {PRIMARY}", SEEN_SECONDS, lambda: everywhere(name, resolvers, PRIMARY), every=1)
    key = f"{APP}/site-b-active"
    owner = {"ExpectedBucketOwner": world.account}
    world.will_undo(f"s3://{bucket}/{key}", lambda: s3.delete_object(Bucket=bucket, Key=key, **owner))
    began = time.monotonic()
    s3.put_object(Bucket=bucket, Key=key, Body=b"lifeboat smoke\n", **owner)
    until(f"{name} at {SECONDARY}", SEEN_SECONDS, lambda: everywhere(name, resolvers, SECONDARY), every=1)
    there = time.monotonic() - began
    began = time.monotonic()
    s3.delete_object(Bucket=bucket, Key=key, **owner)
    until(f"{name} back at {PRIMARY}", SEEN_SECONDS, lambda: everywhere(name, resolvers, PRIMARY), every=1)
    return f"there in {there:.1f} s, back in {time.monotonic() - began:.1f} s, by {len(resolvers)} resolvers"


def delete_stack(cloud, stack: str) -> None:
    cloud.delete_stack(StackName=stack)
    cloud.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 2, "MaxAttempts": 300})


def everywhere(name: str, resolvers: list, wanted: str) -> bool:
    return all(ask(name, resolver) == {wanted} for resolver in resolvers)


def ask(name: str, resolver: str | None) -> set[str]:
    """The addresses that a resolver gives; none when it does not answer."""
    where = []
    if resolver:
        host, _, port = resolver.partition(":")
        where = [f"@{host}", "-p", port or "53"]
    command = ["dig", "+short", "+time=2", "+tries=1", *where, name, "A"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except FileNotFoundError as error:
        raise Failed("dig is missing: make setup installs it") from error
    return set(done.stdout.split()) if done.returncode == 0 else set()
