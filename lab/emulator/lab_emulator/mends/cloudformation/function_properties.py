"""AWS::Lambda::Function: reserved concurrency and the dead letter queue are kept."""

from ministack.services import lambda_svc

from ...lab import Lab
from . import registry


def install(lab: Lab) -> None:
    registry.after("AWS::Lambda::Function", _apply)


def _apply(name, properties, old):
    function = lambda_svc._functions[name]
    reserved = properties.get("ReservedConcurrentExecutions")
    if reserved is not None:
        function["concurrency"] = int(reserved)
    elif old and old.get("ReservedConcurrentExecutions") is not None:
        function["concurrency"] = None
    letters = properties.get("DeadLetterConfig")
    if letters:
        function["config"]["DeadLetterConfig"] = letters
    else:
        function["config"].pop("DeadLetterConfig", None)
