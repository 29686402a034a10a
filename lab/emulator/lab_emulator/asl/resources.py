"""Resources of tasks: an ARN, and where it names an SDK's operation, one that exists.

Developer guide, "Learning to use AWS service SDK integrations":
`arn:aws:states:::aws-sdk:service:action`, the action as the API has it, but with its first
letter small. Services are named as in the SDK for Java, which for most is botocore's
name without hyphens; of the others nothing is known here.
"""

import re
from functools import lru_cache

import botocore.session

# A file of the template still has a placeholder where the partition goes.
_SDK = re.compile(r"arn:(?:[\w-]+|\$\{Partition\}):states:::aws-sdk:(\w+):(\w+)(\.waitForTaskToken)?\Z")


def fault(resource) -> str | None:
    """What is wrong with a task's resource."""
    if not isinstance(resource, str) or not resource.startswith("arn:") or resource.count(":") < 5:
        return f"{resource!r} is no ARN"
    if ":states:::aws-sdk:" not in resource:
        return None
    named = _SDK.match(resource)
    if not named:
        return f"{resource} names no service and action"
    service, action, _ = named.groups()
    known = _operations(service)
    if known is None or (action[0].islower() and action[0].upper() + action[1:] in known):
        return None
    return f"{resource} is not recognized: {service} has no action {action}"


@lru_cache(maxsize=None)
def _operations(service: str) -> frozenset[str] | None:
    session = botocore.session.get_session()
    name = next((name for name in session.get_available_services() if name.replace("-", "") == service), None)
    return frozenset(session.get_service_model(name).operation_names) if name else None
