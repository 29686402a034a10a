"""Rows on a real database: RDS's own failover must not look like the loss of a region."""

import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from account import TAG
from cleanup import remove_databases
from world import Failed, NotRun, World, until

CLASS = "db.t4g.micro"
# Creation of a Multi-AZ instance, and of a replica in another region, takes up to half an hour.
AVAILABLE_SECONDS = 2_700
# RDS says 60 to 120 s for a Multi-AZ failover (user guide, "Failing over a Multi-AZ DB instance"); twice
# that, and whatever the observers would have made of it has been made.
WATCHED_SECONDS = 240

PLAN = """\
app = "smoke"
initially_active = "a"

[sites.a]
region = "{regions[0]}"
target = {{ address = "192.0.2.10" }}
[sites.a.database]
identifier = "{names[0]}"
host = "{hosts[0]}"
[sites.a.health]
postgres = "{hosts[0]}:5432"

[sites.b]
region = "{regions[1]}"
target = {{ address = "192.0.2.20" }}
[sites.b.database]
identifier = "{names[1]}"
host = "{hosts[1]}"
[sites.b.health]
postgres = "{hosts[1]}:5432"

[witness]
region = "{witness}"

[database]
engine = "rds"
name = "postgres"
user = "lifeboat"
password_secret = "database"

[dns]
name = "smoke.example.test"
ttl_seconds = 5

[detection]
quorum = 1

[scenarios.region-outage]
rto_seconds = 3600
rpo_seconds = 900
"""


def names(world: World) -> list[str]:
    return [f"{TAG}-{world.run}-{site}" for site in "ab"]


def make(world: World) -> str:
    """Both databases, and the plan applied. They are reachable from outside, because functions without a
    VPC have no fixed address; the password is random and gone with them."""
    if world.options.existing:
        raise NotRun("the app that is there has its own databases")
    primary, replica = names(world)
    here, there = (world.client("rds", region) for region in world.regions)
    password = world.client("secretsmanager").get_random_password(PasswordLength=40, ExcludePunctuation=True)["RandomPassword"]
    tags = [{"Key": TAG, "Value": world.run}]
    here.create_db_instance(
        DBInstanceIdentifier=primary,
        DBInstanceClass=CLASS,
        Engine="postgres",
        AllocatedStorage=20,
        StorageType="gp3",
        StorageEncrypted=True,
        MasterUsername="lifeboat",
        MasterUserPassword=password,
        BackupRetentionPeriod=1,
        MultiAZ=True,
        PubliclyAccessible=True,
        VpcSecurityGroupIds=[open_group(world, world.regions[0])],
        Tags=tags,
    )
    source = available(here, primary)
    there.create_db_instance_read_replica(
        DBInstanceIdentifier=replica,
        SourceDBInstanceIdentifier=source["DBInstanceArn"],
        SourceRegion=world.regions[0],
        DBInstanceClass=CLASS,
        StorageType="gp3",
        # A snapshot's key does not leave its region.
        KmsKeyId="alias/aws/rds",
        PubliclyAccessible=True,
        VpcSecurityGroupIds=[open_group(world, world.regions[1])],
        Tags=tags,
    )
    hosts = [source["Endpoint"]["Address"], available(there, replica)["Endpoint"]["Address"]]
    plan = Path(f"target/aws-smoke/smoke-{world.run}.toml")
    plan.parent.mkdir(parents=True, exist_ok=True)
    plan.write_text(PLAN.format(regions=world.regions, witness=world.witness, names=names(world), hosts=hosts))
    world.will_undo(str(plan), plan.unlink)
    for region in world.regions:
        world.will_undo(f"what `plan apply` made in {region}", lambda region=region: forget(world, region))
    lifeboat(world, "secret", str(plan), "database", text=password)
    lifeboat(world, "plan", "apply", str(plan), "--yes")
    # Only a site that serves is watched.
    lifeboat(world, "init", str(plan))
    return f"{primary} with a standby, {replica}, and the plan of app smoke"


def open_group(world: World, region: str) -> str:
    """A security group of the default VPC that lets PostgreSQL in."""
    ec2 = world.client("ec2", region)
    name = f"{TAG}-{world.run}"
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": TAG, "Value": world.run}]}]
    group = ec2.create_security_group(GroupName=name, Description="Lifeboat smoke test", TagSpecifications=tags)["GroupId"]
    world.will_undo(f"security group {name} in {region}", lambda: drop_group(world, region, group))
    ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=5432, ToPort=5432, CidrIp="0.0.0.0/0")
    return group


def drop_group(world: World, region: str, group: str) -> None:
    """What uses it goes first."""
    remove_databases(world, region)
    world.client("ec2", region).delete_security_group(GroupId=group)


def available(rds, name: str) -> dict:
    def look():
        one = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
        if one["DBInstanceStatus"] in ("failed", "incompatible-parameters", "incompatible-network", "storage-full"):
            raise Failed(f"{name} is {one['DBInstanceStatus']}")
        return one if one["DBInstanceStatus"] == "available" else None

    return until(f"{name} available", AVAILABLE_SECONDS, look, every=20)


def lifeboat(world: World, *arguments: str, text: str | None = None) -> str:
    program = [world.options.lifeboat, *arguments]
    done = subprocess.run(program, env=world.environment(), input=text, check=True, capture_output=True, text=True)
    return done.stdout


def forget(world: World, region: str) -> None:
    """The plan, the secret and the alarms of app smoke; the control record goes with its bucket."""
    ssm, watch = world.client("ssm", region), world.client("cloudwatch", region)
    ssm.delete_parameters(Names=["/lifeboat/plans/smoke", "/lifeboat/secrets/smoke/database"])
    pages = watch.get_paginator("describe_alarms").paginate(AlarmNamePrefix="lifeboat-")
    alarms = [one["AlarmName"] for page in pages for one in page["MetricAlarms"] if "-smoke" in one["AlarmName"]]
    for start in range(0, len(alarms), 100):
        watch.delete_alarms(AlarmNames=alarms[start : start + 100])


def engine_failover(world: World) -> str:
    primary = names(world)[0]
    if world.options.existing or not any(what.startswith("what `plan apply`") for what, _ in world.made):
        raise NotRun("needs the row databases")
    states = world.client("stepfunctions", world.regions[1])
    machine = f"arn:aws:states:{world.regions[1]}:{world.account}:stateMachine:lifeboat-recover"
    began = datetime.now(UTC)
    rds = world.client("rds")
    rds.reboot_db_instance(DBInstanceIdentifier=primary, ForceFailover=True)
    ends = time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < ends:
        for one in states.list_executions(stateMachineArn=machine, maxResults=20)["executions"]:
            if one["startDate"] >= began:
                raise Failed(f"{one['name']} was started by the engine's own failover")
        # Nothing is waited for but the absence of an execution, which only the end of the time shows.
        time.sleep(10)
    events = rds.describe_events(SourceIdentifier=primary, SourceType="db-instance", StartTime=began)["Events"]
    if not any("failover" in event["Message"].lower() for event in events):
        raise Failed("RDS reports no failover, so nothing was proven")
    return f"RDS failed over, and in {WATCHED_SECONDS} s no recovery was started"
