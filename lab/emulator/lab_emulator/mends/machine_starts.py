"""StartExecution is idempotent, and a failed execution can be redriven.

AWS: starting a standard machine again under the same name with the same input,
while it runs, answers with the running execution; RedriveExecution continues one
that failed or was stopped at the state that it was in. ministack: the first is refused with
ExecutionAlreadyExists, the second does not exist.
"""

import contextvars
import json
import threading

from ministack.core.responses import error_response_json, json_response, now_iso
from ministack.services import stepfunctions

from .. import pin
from ..lab import Lab
from . import machine_runs

_REDRIVABLE = ("FAILED", "ABORTED", "TIMED_OUT")


def install(lab: Lab) -> None:
    pin.replace(stepfunctions, "_start_execution", "data", _idempotent)
    pin.replace(stepfunctions, "_describe_execution", "data", _with_redrives)
    pin.replace(stepfunctions, "handle_request", "method path headers body query_params", _with_redrive_operation)
    pin.expect(stepfunctions, "_add_event", "execution event_type details")
    pin.expect(stepfunctions, "_emit_execution_status_event", "execution")


def _idempotent(start):
    def wrapped(data):
        machine = stepfunctions._resolve_state_machine_arn(data.get("stateMachineArn", ""))
        if machine and data.get("name"):
            arn = machine.replace(":stateMachine:", ":execution:") + f":{data['name']}"
            running = stepfunctions._executions.get(arn)
            if running and running["status"] == "RUNNING" and running["input"] == data.get("input", "{}"):
                return json_response({"executionArn": arn, "startDate": running["startDate"]})
        return start(data)

    return wrapped


def _with_redrives(describe):
    def wrapped(data):
        status, headers, body = describe(data)
        execution = stepfunctions._executions.get(data.get("executionArn"))
        if status == 200 and execution:
            answer = json.loads(body)
            answer["redriveCount"] = execution.get("redriveCount", 0)
            redrivable = execution["status"] in _REDRIVABLE
            answer["redriveStatus"] = "REDRIVABLE" if redrivable else "NOT_REDRIVABLE"
            body = json.dumps(answer).encode()
        return status, headers, body

    return wrapped


def _with_redrive_operation(handle):
    async def wrapped(method, path, headers, body, query_params):
        if headers.get("x-amz-target", "") == "AWSStepFunctions.RedriveExecution":
            return stepfunctions._finalize_response(redrive(json.loads(body or b"{}")))
        return await handle(method, path, headers, body, query_params)

    return wrapped


def redrive(data: dict) -> tuple:
    """Continue a failed execution at the top-level state that it failed in, with that state's input."""
    arn = data.get("executionArn")
    execution = stepfunctions._executions.get(arn)
    if not execution:
        return error_response_json("ExecutionDoesNotExist", f"Execution {arn} not found", 400)
    entered = next((event for event in reversed(execution["events"]) if "stateEnteredEventDetails" in event), None)
    if execution["status"] not in _REDRIVABLE or entered is None:
        return error_response_json("ExecutionNotRedrivable", f"Execution {arn} is {execution['status']}", 400)
    for outcome in ("error", "cause"):
        execution.pop(outcome, None)
    count = execution.get("redriveCount", 0) + 1
    execution.update(status="RUNNING", stopDate=None, output=None, redriveCount=count)
    stepfunctions._add_event(
        execution, "ExecutionRedriven", {"executionRedrivenEventDetails": {"redriveCount": count}}
    )
    stepfunctions._emit_execution_status_event(execution)
    details = entered["stateEnteredEventDetails"]
    context = contextvars.copy_context()
    threading.Thread(
        target=context.run, args=(machine_runs.resume, arn, details["name"], details["input"]), daemon=True
    ).start()
    return json_response({"redriveDate": now_iso()})
