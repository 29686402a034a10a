"""May this service do that? The checks of execution roles and of functions' resource policies.

ministack enforces IAM for signed calls only. What one service does for another
(a state machine's task, a schedule's target, a rule's function) it does without
asking, so that a template without the needed permission would pass here and
fail on AWS.
"""

import json

from ministack.core import iam_evaluator
from ministack.core.arn import ArnParseError, parse_arn
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam, lambda_svc

from . import pin

# A resource that cannot be told from the call: the action must be allowed on something.
ANY_RESOURCE = None


def install() -> None:
    """Check that the engine still has the shape used below."""
    pin.expect(iam_evaluator, "_gather_role_policies", "role_name account_id")
    pin.expect(iam_evaluator, "_permissions_boundary", "store name account_id")
    pin.expect(iam_evaluator, "evaluate", "ctx policies limits")
    pin.expect(iam_evaluator, "_action_matches", "request_action actions not_actions")
    pin.expect(lambda_svc, "function_policy_for_arn", "resource_arn")


def role_denial(role_arn: str, service: str, action: str, resource: str | None) -> str | None:
    """Why `service`, acting under the role, may not do `action` on `resource`; None when it may."""
    account = get_account_id()
    name = role_arn.rsplit("/", 1)[-1]
    role = iam._roles.get_scoped(account, None, name)
    if role is None or not _trusts(role, service):
        return f"{service} is not authorized to assume role {role_arn}"
    policies = iam_evaluator._gather_role_policies(name, account)
    limits = iam_evaluator._permissions_boundary(iam._roles, name, account)
    principal = f"arn:aws:sts::{account}:assumed-role/{name}/{service.partition('.')[0]}"
    for candidate in _candidates(action, resource, policies):
        context = iam_evaluator.EvalContext(
            principal_arn=principal,
            principal_type="AssumedRole",
            principal_account=account,
            action=action,
            resource_arn=candidate,
            region=get_region(),
        )
        if iam_evaluator.evaluate(context, policies, *limits).decision == "Allow":
            return None
    return (
        f"User: {principal} is not authorized to perform: {action} on resource: {resource or '*'} "
        f"because no identity-based policy allows the {action} action"
    )


def function_denial(function_arn: str, service: str, source_arn: str) -> str | None:
    """Why `service`, on behalf of `source_arn`, may not invoke the function; None when it may."""
    found = lambda_svc.function_policy_for_arn(_unqualified(function_arn))
    for statement in found[0]["Statement"] if found else []:
        condition = statement.get("Condition") or {}
        source = (condition.get("ArnLike") or condition.get("ArnEquals") or {}).get("AWS:SourceArn", "*")
        if (
            statement["Effect"] == "Allow"
            and _names(statement.get("Principal"), service)
            and iam_evaluator.fnmatch_iam("lambda:InvokeFunction", statement["Action"])
            and iam_evaluator.fnmatch_iam_cs(source_arn, source)
        ):
            return None
    return f"{service} is not authorized to invoke {function_arn} for {source_arn}: add an AWS::Lambda::Permission"


def _trusts(role: dict, service: str) -> bool:
    document = role.get("AssumeRolePolicyDocument") or "{}"
    document = json.loads(document) if isinstance(document, str) else document
    statements = document.get("Statement") or []
    statements = [statements] if isinstance(statements, dict) else statements
    return any(entry["Effect"] == "Allow" and _names(entry.get("Principal"), service) for entry in statements)


def _names(principal, service: str) -> bool:
    if principal == "*":
        return True
    named = (principal or {}).get("Service", []) if isinstance(principal, dict) else []
    named = [named] if isinstance(named, str) else named
    return service in named or "*" in named


def _candidates(action: str, resource: str | None, policies: list) -> list[str]:
    """The resource itself; or, when it is not known, whatever the policies name for the action."""
    if resource is not ANY_RESOURCE:
        return [resource]
    return [
        named
        for statements in policies
        for statement in statements
        if iam_evaluator._action_matches(action, statement.actions, statement.not_actions)
        for named in statement.resources
    ]


def _unqualified(function_arn: str) -> str:
    try:
        parts = parse_arn(function_arn).resource.split(":")
    except ArnParseError:
        return function_arn
    return function_arn if len(parts) < 3 else function_arn.rsplit(":", 1)[0]
