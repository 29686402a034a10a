"""AWS::Lambda::Function: reserved concurrency and the dead letter queue are kept.

AWS: leaves at least 100 invocations of a region's quota to the functions that
reserve none, and refuses what would take of them (API reference,
`PutFunctionConcurrency`).
ministack: drops both properties, and lets everything be reserved.
"""

from ministack.services import lambda_svc

from ... import pin
from ...lab import Lab
from . import registry

UNRESERVED = 100
# Where ministack is told no other one (Lambda developer guide, "Lambda quotas").
_QUOTA = 1000


def install(lab: Lab) -> None:
    registry.after("AWS::Lambda::Function", _apply)
    pin.replace(lambda_svc, "_put_function_concurrency", "func_name data", _within_quota)


def _within_quota(original):
    def put(func_name, data):
        refusal = _refusal(func_name, data.get("ReservedConcurrentExecutions") or 0)
        if refusal:
            return lambda_svc.error_response_json("InvalidParameterValueException", refusal, 400)
        return original(func_name, data)

    return put


def _apply(name, properties, old):
    function = lambda_svc._functions[name]
    reserved = properties.get("ReservedConcurrentExecutions")
    if reserved is not None:
        refusal = _refusal(name, int(reserved))
        if refusal:
            raise ValueError(refusal)
        function["concurrency"] = int(reserved)
    elif old and old.get("ReservedConcurrentExecutions") is not None:
        function["concurrency"] = None
    letters = properties.get("DeadLetterConfig")
    if letters:
        function["config"]["DeadLetterConfig"] = letters
    else:
        function["config"].pop("DeadLetterConfig", None)


def _refusal(name: str, wanted: int) -> str | None:
    """Why that many cannot be reserved for the function; None when they can."""
    others = sum(
        int(lambda_svc._functions[other].get("concurrency") or 0)
        for other in lambda_svc._functions.keys()
        if other != name
    )
    if wanted + others + UNRESERVED <= (lambda_svc._ACCOUNT_CONCURRENCY_CAP or _QUOTA):
        return None
    return (
        "Specified ReservedConcurrentExecutions for function decreases account's "
        f"UnreservedConcurrentExecution below its minimum value of [{UNRESERVED}]."
    )
