"""Would this key be allowed to do that? Answered by ministack's own IAM engine.

The lab serves some AWS services itself (RDS, Systems Manager). Their calls must
be refused for the same reasons as ministack's, so the gateway asks here.
"""

from ministack import app as ministack_app
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, request_scope, set_request_account_id

from . import pin


def install() -> None:
    """Check that the engine still has the shape used below."""
    pin.expect(
        iam_evaluator, "enforce", "access_key_id iam_action service region resource_arn service_context"
    )
    pin.expect(iam_evaluator, "resolve_principal", "access_key_id account_id credential")
    pin.expect(ministack_app, "_request_account_scope", "access_key_id")


def authorize(access_key_id: str, action: str, resource: str, region: str, context: dict) -> dict:
    """`{allowed, principal, code, message}` for one action on one resource.

    `context` holds the condition keys of the call beside the global ones, such
    as `ssm:resourceTag/lifeboat-site`.
    `code` is the AWS error code to answer with when it is not allowed. The
    signature is not checked here: only the key decides who asks. The root key
    `test` may do everything.
    """
    set_request_account_id(ministack_app._request_account_scope(access_key_id))
    account = get_account_id()
    service = action.partition(":")[0]
    with request_scope(account, region):
        principal = iam_evaluator.resolve_principal(access_key_id, account)
        if isinstance(principal, iam_evaluator.AuthError):
            return {"allowed": False, "principal": "", "code": principal.code, "message": principal.message}
        denied = iam_evaluator.enforce(
            access_key_id, action, service, region, resource_arn=resource or "*", service_context=context
        )
    if denied is None:
        return {"allowed": True, "principal": principal.arn, "code": "", "message": ""}
    if isinstance(denied, iam_evaluator.AuthError):
        return {"allowed": False, "principal": principal.arn, "code": denied.code, "message": denied.message}
    reason = (
        "with an explicit deny in an identity-based policy"
        if denied.decision == "Deny"
        else f"because no identity-based policy allows the {action} action"
    )
    return {
        "allowed": False,
        "principal": principal.arn,
        "code": "AccessDenied",
        "message": f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource or '*'} {reason}",
    }
