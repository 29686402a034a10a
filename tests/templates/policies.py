"""Every policy of a template: its actions, the resources that they take, the condition keys that they carry."""

import authorization
from template import World

# Policies of a resource name what they are attached to as they like, "*" included; a trust policy names none.
_WITHOUT_RESOURCES = ("trust",)
# Of these the data requires each type, and a request names one: an execution is of a standard machine or of an
# express one (Step Functions developer guide, "Creating granular permissions").
_ONE_OF_ITS_TYPES = ("states:DescribeExecution", "states:ListExecutions")


def documents(world: World):
    """`(place, kind, document)` of each policy; kind is role, managed, trust, bucket, topic or key."""
    for name, role in world.of_type("AWS::IAM::Role"):
        yield f"{name}: trust policy", "trust", role["AssumeRolePolicyDocument"]
        for policy in role.get("Policies", []):
            yield f"{name}: {policy['PolicyName']}", "role", policy["PolicyDocument"]
    for name, policy in world.of_type("AWS::IAM::ManagedPolicy"):
        yield name, "managed", policy["PolicyDocument"]
    for name, policy in world.of_type("AWS::S3::BucketPolicy"):
        yield name, "bucket", policy["PolicyDocument"]
    for name, policy in world.of_type("AWS::SNS::TopicPolicy"):
        yield name, "topic", policy["PolicyDocument"]
    for name, key in world.of_type("AWS::KMS::Key"):
        yield name, "key", key["KeyPolicy"]


def check(world: World) -> list[str]:
    """What is wrong with the policies, each with its place."""
    found = []
    for place, kind, document in documents(world):
        allowed: dict[str, set[str]] = {}
        for number, statement in enumerate(_list(document["Statement"])):
            where = f"{place}: {statement.get('Sid', f'statement {number}')}"
            found += [f"{where}: {what}" for what in _statement(statement, kind, allowed)]
        if kind in ("role", "managed"):
            found += [f"{place}: {what}" for what in _required(allowed)]
    return found


def _statement(statement: dict, kind: str, allowed: dict[str, set[str]]) -> list[str]:
    found, named = [], []
    for pattern in _list(statement.get("Action", [])):
        known = ["*"] if pattern == "*" else authorization.actions(pattern)
        if not known:
            found.append(f"there is no action {pattern}")
        # What a wildcard is for is not held to each of its actions.
        named += known if "*" not in pattern else []
    if kind not in _WITHOUT_RESOURCES:
        found += _resources(statement, named, allowed)
    for key in (key for test in statement.get("Condition", {}).values() for key in test):
        for action in named:
            if not authorization.has_key(action, key):
                found.append(f"{action} never carries the condition key {key}")
    return found


def _resources(statement: dict, named: list[str], allowed: dict[str, set[str]]) -> list[str]:
    found, resources = [], _list(statement.get("Resource", []))
    if not resources:
        return ["it names no resource"]
    taken = set()
    for action in named:
        types = authorization.resource_types(action)
        # Of an action on no resource at all, only "*" is ever asked.
        fitting = {one: authorization.takes(action, one) for one in resources} if types else {"*": {""}}
        met = {one for one, of in fitting.items() if of and one in resources}
        taken |= met
        if not met:
            wanted = ", ".join(sorted(types)) or 'none, so that only "*" matches'
            found.append(f"{action} takes no resource of the form {' or '.join(resources)}; it takes: {wanted}")
        if statement["Effect"] == "Allow":
            allowed.setdefault(action, set()).update(*(fitting[one] for one in met))
    if named:
        found += [f"no action takes the resource {one}" for one in resources if one not in taken]
    return found


def _required(allowed: dict[str, set[str]]) -> list[str]:
    """The types of resource without which an action that is allowed is refused all the same."""
    found = []
    for action, types in allowed.items():
        if types and action in _ONE_OF_ITS_TYPES:
            continue
        wanted = {name for name, required in authorization.resource_types(action).items() if required}
        for name in sorted(wanted - types):
            found.append(f"{action} is refused without its resource {name}, which no statement allows")
    return found


def _list(value) -> list:
    return value if isinstance(value, list) else [value]
