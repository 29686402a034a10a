"""Takes over, into a new stack, what the deleted one has kept: `make import REGIONS="..."`, then `make deploy`.

The buckets and the backups' key outlive their stack on purpose, and their names are taken: a plain deployment over
them fails. CloudFormation imports a resource by its identifier, with a template that has nothing but what is
imported (user guide, "Import AWS resources into a CloudFormation stack manually"); automatic import wants literal
names, and ours have the account in them. It shows what it takes over, and asks.
"""

import json
import sys

import boto3
import botocore.exceptions
from cfnlint.decode import cfn_yaml

STACK, CHANGES = "lifeboat", "import-kept"
KEPT = "RetainExceptOnCreate"


def kept(template: dict) -> dict[str, dict]:
    return {name: one for name, one in template["Resources"].items() if one.get("DeletionPolicy") == KEPT}


def names_in(value) -> set[str]:
    """What a part of a template refers to: resources, parameters, pseudo parameters."""
    found = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                found.add(inner)
            elif key == "Fn::GetAtt":
                found.add(inner[0] if isinstance(inner, list) else inner.split(".")[0])
            elif key == "Fn::Sub":
                text = inner[0] if isinstance(inner, list) else inner
                found |= {part.split("}")[0].split(".")[0] for part in text.split("${")[1:]}
            found |= names_in(inner)
    elif isinstance(value, list):
        for inner in value:
            found |= names_in(inner)
    return found


def conditions_in(value) -> set[str]:
    if isinstance(value, dict):
        own = {value["Fn::If"][0]} if "Fn::If" in value else set()
        return own.union(*(conditions_in(inner) for inner in value.values()))
    return set().union(*(conditions_in(inner) for inner in value)) if isinstance(value, list) else set()


def template_of(template: dict, wanted: set[str]) -> dict:
    """A template of these resources alone. A property that needs another resource is left out: the deployment
    that follows sets it."""
    known = wanted | set(template["Parameters"])
    resources = {}
    for name in wanted:
        one = template["Resources"][name]
        fits = {
            key: value
            for key, value in one["Properties"].items()
            if all(ref in known or ref.startswith("AWS::") for ref in names_in(value))
        }
        resources[name] = {"Type": one["Type"], "DeletionPolicy": KEPT, "UpdateReplacePolicy": "Retain", "Properties": fits}
    conditions = {name: template["Conditions"][name] for name in conditions_in(resources)}
    used = names_in(resources) | names_in(conditions)
    parameters = {name: one for name, one in template["Parameters"].items() if name in used}
    parts = {"Parameters": parameters, "Conditions": conditions, "Resources": resources}
    return {"AWSTemplateFormatVersion": "2010-09-09"} | {name: part for name, part in parts.items() if part}


def bucket_name(one: dict, account: str, region: str) -> str:
    name = one["Properties"]["BucketName"]["Fn::Sub"]
    return name.replace("${AWS::AccountId}", account).replace("${AWS::Region}", region)


def identifiers(template: dict, account: str, region: str, s3) -> dict[str, dict]:
    """Of each kept resource that is there: how CloudFormation is told of it."""
    found, keys = {}, set()
    owner = {"ExpectedBucketOwner": account}
    for name, one in kept(template).items():
        if one["Type"] != "AWS::S3::Bucket":
            continue
        bucket = bucket_name(one, account, region)
        try:
            s3.head_bucket(Bucket=bucket, **owner)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
                continue
            raise
        found[name] = {"BucketName": bucket}
        rules = s3.get_bucket_encryption(Bucket=bucket, **owner)["ServerSideEncryptionConfiguration"]["Rules"]
        keys |= {rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID") for rule in rules}
    # The buckets that are encrypted by the backups' key still name it.
    keys = {key.split("/")[-1] for key in keys if key}
    for name, one in kept(template).items():
        if one["Type"] == "AWS::KMS::Key" and keys:
            if len(keys) > 1:
                raise SystemExit(f"import: {region}: the buckets name several keys ({', '.join(sorted(keys))}); import by hand")
            found[name] = {"KeyId": keys.pop()}
    return found


def take_over(region: str, ask: bool) -> None:
    with open("infra/template.yaml") as file:
        template = cfn_yaml.loads(file.read())
    account = boto3.client("sts", region_name=region).get_caller_identity()["Account"]
    found = identifiers(template, account, region, boto3.client("s3", region_name=region))
    if not found:
        print(f"import: {region}: nothing is kept there; make deploy makes all of it")
        return
    print(f"import: {region}, account {account}: into a new stack {STACK}")
    for name, identifier in found.items():
        print(f"  {name:14} {next(iter(identifier.values()))}")
    if ask and (not sys.stdin.isatty() or input("Type yes to go on: ").strip() != "yes"):
        raise SystemExit("import: not confirmed; nothing was changed")
    cloud = boto3.client("cloudformation", region_name=region)
    small = template_of(template, set(found))
    which = {"StackName": STACK, "ChangeSetName": CHANGES}
    cloud.create_change_set(
        **which,
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps(small, default=str),
        ResourcesToImport=[
            {"ResourceType": small["Resources"][name]["Type"], "LogicalResourceId": name, "ResourceIdentifier": identifier}
            for name, identifier in found.items()
        ],
    )
    cloud.get_waiter("change_set_create_complete").wait(**which)
    cloud.execute_change_set(**which)
    cloud.get_waiter("stack_import_complete").wait(StackName=STACK)
    print(f"import: {region}: taken over; make deploy does the rest")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    confirmed = "--yes" in arguments
    regions = [argument for argument in arguments if argument != "--yes"]
    if not regions or any(region.startswith("-") for region in regions):
        raise SystemExit("import: name the regions: make import REGIONS=\"us-east-1 us-west-2\"")
    for each in regions:
        try:
            take_over(each, not confirmed)
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise SystemExit(f"import: {each}: {error}") from error
