"""How long a policy and a template may be."""

import json

import policies
from template import World, text_of

# What must stay free: the next statement should not be what fails a deployment.
_MARGIN = 0.9
# Characters without white space of all inline policies of a role, of a managed policy, and of a trust policy
# (IAM user guide, "IAM and AWS STS quotas").
ROLE, MANAGED, TRUST = 10_240, 6_144, 2_048
# Bytes (S3 user guide, "Policies and permissions in Amazon S3"; KMS developer guide, "Resource quotas"; SNS
# API reference, `SetTopicAttributes`: 30 KB).
BUCKET, KEY, TOPIC = 20_480, 32_768, 30_720
# Managed policies of a role (the same quotas of IAM).
MANAGED_POLICIES = 10
# Bytes of all variables of a function (Lambda developer guide, "Lambda quotas").
ENVIRONMENT = 4_096
# Of a template (CloudFormation user guide, "Understand CloudFormation quotas"): bytes when it lies in S3,
# resources, parameters, outputs, bytes of its description.
TEMPLATE, RESOURCES, PARAMETERS, OUTPUTS, DESCRIPTION = 1_048_576, 500, 200, 200, 1_024

_LIMITS = {"managed": MANAGED, "trust": TRUST, "bucket": BUCKET, "key": KEY, "topic": TOPIC}


def check(world: World) -> list[str]:
    """What is too long among the resources, or nearly."""
    found, inline = [], {}
    for place, kind, document in policies.documents(world):
        size = _size(document)
        if kind == "role":
            role = place.partition(":")[0]
            inline[role] = inline.get(role, 0) + size
        else:
            found += _over(f"{place}: the policy", size, _LIMITS[kind], "characters")
    for role, size in inline.items():
        found += _over(f"{role}: its inline policies", size, ROLE, "characters")
    for name, role in world.of_type("AWS::IAM::Role"):
        found += _over(f"{name}: the role", len(role.get("ManagedPolicyArns", [])), MANAGED_POLICIES, "managed policies")
    for name, function in world.of_type("AWS::Lambda::Function"):
        variables = function.get("Environment", {}).get("Variables", {})
        found += _over(f"{name}: its variables", _size(variables), ENVIRONMENT, "bytes")
    return found


def check_template(path: str, source: dict) -> list[str]:
    """What is too much in the template as a whole, or nearly."""
    found = _over("the template", len(text_of(path)), TEMPLATE, "bytes")
    for section, limit in (("Resources", RESOURCES), ("Parameters", PARAMETERS), ("Outputs", OUTPUTS)):
        found += _over("the template", len(source.get(section, {})), limit, section.lower())
    return found + _over("the description", len(source.get("Description", "").encode()), DESCRIPTION, "bytes")


def _size(document) -> int:
    return len(json.dumps(document, separators=(",", ":")))


def _over(what: str, size: int, limit: int, unit: str) -> list[str]:
    if size <= limit * _MARGIN:
        return []
    return [f"{what}: {size} of at most {limit} {unit}"]
