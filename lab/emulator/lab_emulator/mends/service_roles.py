"""State machines, schedules, rules, topics and alarms need the permissions that AWS asks for.

AWS: a state machine acts under its role, a schedule under its target's role; a
rule needs a role to start a machine and the function's consent to invoke it, as
topics and alarms do. ministack asks for none of it.
"""

import logging

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, sns, stepfunctions

from .. import permissions, pin
from ..lab import Lab
from . import machine_runs

_log = logging.getLogger("lab.permissions")

_STATES, _EVENTS, _SCHEDULER = "states.amazonaws.com", "events.amazonaws.com", "scheduler.amazonaws.com"
# aws-sdk service names of the state language whose IAM prefix differs.
_PREFIXES = {"sfn": "states", "eventbridge": "events", "cloudwatchlogs": "logs", "sesv2": "ses"}
# S3 operations whose IAM action has another name.
_S3_ACTIONS = {"listObjectsV2": "ListBucket", "listObjects": "ListBucket", "headObject": "GetObject"}


def install(lab: Lab) -> None:
    permissions.install()
    pin.replace(stepfunctions, "_invoke_resource", "resource input_data", _checked_task)
    pin.replace(stepfunctions, "_invoke_with_callback", "resource input_data token state_def", _checked_task)
    pin.replace(eventbridge, "_invoke_target", "target event rule view", _checked_target)
    pin.replace(
        sns,
        "_deliver_to_lambda",
        "endpoint envelope topic_arn sub_arn msg_id raw_message message_attributes",
        _checked_subscriber,
    )


def _checked_task(invoke):
    def wrapped(resource, input_data, *rest):
        role = machine_runs.role()
        for action, needed in required(resource, input_data) if role else ():
            denial = permissions.role_denial(role, _STATES, action, needed)
            if denial:
                service = action.partition(":")[0]
                name = "Lambda.AWSLambdaException" if service == "lambda" else f"{service.title()}.AccessDeniedException"
                raise stepfunctions._ExecutionError(name, denial)
        return invoke(resource, input_data, *rest)

    return wrapped


def required(resource: str, request) -> list[tuple[str, str | None]]:
    """The actions, each with its resource, that a task of this Resource needs."""
    base = resource.removesuffix(".waitForTaskToken").removesuffix(".sync:2").removesuffix(".sync")
    scope = f"{get_region()}:{get_account_id()}"
    request = request if isinstance(request, dict) else {}
    if base.startswith("arn:aws:lambda:"):
        return [("lambda:InvokeFunction", base)]
    if not base.startswith("arn:aws:states:::"):
        return []  # an activity: its worker asks for work under its own name
    service, _, operation = base.removeprefix("arn:aws:states:::").partition(":")
    if service == "lambda":
        name = request.get("FunctionName", "")
        arn = name if name.startswith("arn:") else f"arn:aws:lambda:{scope}:function:{name}"
        return [("lambda:InvokeFunction", arn)]
    if service == "states":
        return [("states:StartExecution", request.get("StateMachineArn", ""))]
    if service == "sns":
        return [("sns:Publish", request.get("TopicArn", ""))]
    if service == "sqs":
        return [("sqs:SendMessage", f"arn:aws:sqs:{scope}:{request.get('QueueUrl', '').rpartition('/')[2]}")]
    if service == "events":
        return [("events:PutEvents", permissions.ANY_RESOURCE)]
    if service == "aws-sdk":
        sdk, _, method = operation.partition(":")
        action = _S3_ACTIONS.get(method) if sdk == "s3" else None
        action = action or method[:1].upper() + method[1:]
        return [(f"{_PREFIXES.get(sdk, sdk)}:{action}", permissions.ANY_RESOURCE)]
    return []


def _checked_target(invoke):
    def wrapped(target, event, rule, view=None):
        denial = target_denial(target, rule, by_scheduler=event.get("Source") == "aws.scheduler")
        if denial:
            _log.error("%s: not delivered: %s", rule.get("Arn") or rule.get("Name"), denial)
            return None
        return invoke(target, event, rule, view)

    return wrapped


def target_denial(target: dict, rule: dict, by_scheduler: bool) -> str | None:
    """Why the rule or schedule may not invoke its target; None when it may."""
    arn = target.get("Arn", "")
    if arn.startswith("arn:aws:lambda:") and not by_scheduler:
        return permissions.function_denial(arn, _EVENTS, rule.get("Arn", ""))
    actions = {"lambda": "lambda:InvokeFunction", "states": "states:StartExecution"}
    if by_scheduler:
        actions |= {"sns": "sns:Publish", "sqs": "sqs:SendMessage", "events": "events:PutEvents"}
    action = actions.get(arn.split(":")[2]) if arn.count(":") >= 5 else None
    if action is None:
        return None
    service = _SCHEDULER if by_scheduler else _EVENTS
    return permissions.role_denial(target.get("RoleArn", ""), service, action, arn)


def _checked_subscriber(deliver):
    def wrapped(endpoint, envelope, topic_arn, *rest):
        denial = permissions.function_denial(endpoint, "sns.amazonaws.com", topic_arn)
        if denial:
            _log.error("%s: not delivered: %s", topic_arn, denial)
            return
        deliver(endpoint, envelope, topic_arn, *rest)

    return wrapped
