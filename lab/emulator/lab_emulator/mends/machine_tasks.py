"""Tasks: heartbeats, functions that fail before they use their token, events, throttles.

AWS: a task token that sends no heartbeat for HeartbeatSeconds fails with
States.HeartbeatTimeout; both limits of a task may be expressions; when the function
that got the token fails, the task fails; `lambda:invoke` with InvocationType Event
does not wait; a throttled function fails the task with Lambda.TooManyRequestsException.
ministack: ignores heartbeats and the function's failure, so that the task waits
for ever; fails on a limit that is an expression; always waits for the function; names
a throttle Lambda.Unknown.
"""

import contextvars
import threading
import time

from ministack.services import lambda_svc, stepfunctions

from .. import pin
from ..lab import Lab

_POLL_SECONDS = 0.1

# The token of the callback task that this thread is starting.
_token: contextvars.ContextVar[str | None] = contextvars.ContextVar("lab_task_token", default=None)


def install(lab: Lab) -> None:
    pin.replace(stepfunctions, "_send_task_heartbeat", "data", _timed)
    pin.replace(stepfunctions, "_invoke_with_callback", "resource input_data token state_def", _with_heartbeat)
    pin.replace(stepfunctions, "_execute_task", "state_def raw_input execution ctx", _with_limits)
    pin.expect(stepfunctions, "_jsonata_state_field", "state_def field expected raw_input ctx")
    pin.replace(stepfunctions, "_call_lambda", "func_ref event", _failing_its_task)
    pin.replace(stepfunctions, "_invoke_resource", "resource input_data", _with_events)
    pin.replace(lambda_svc, "_throttle_response", "reason_code msg retry_after", _with_error_type)
    pin.expect(stepfunctions, "_resolve_lambda_function_ref", "value optimized")


def _timed(heartbeat):
    def wrapped(data):
        info = stepfunctions._task_tokens.get(data.get("taskToken"))
        if info:
            info["heartbeatAt"] = time.monotonic()
        return heartbeat(data)

    return wrapped


def _with_limits(execute):
    """Evaluate TimeoutSeconds and HeartbeatSeconds where they are JSONata."""

    def wrapped(state, raw_input, execution, context):
        limits = {
            key: stepfunctions._jsonata_state_field(state, key, "number", raw_input, context)
            for key in ("TimeoutSeconds", "HeartbeatSeconds")
            if isinstance(state.get(key), str)
        }
        return execute({**state, **limits}, raw_input, execution, context)

    return wrapped


def _with_heartbeat(invoke):
    def wrapped(resource, input_data, token, state_def):
        seconds = state_def.get("HeartbeatSeconds")
        if isinstance(seconds, (int, float)):
            context = contextvars.copy_context()
            threading.Thread(target=context.run, args=(_watch, token, seconds), daemon=True).start()
        reset = _token.set(token)
        try:
            return invoke(resource, input_data, token, state_def)
        finally:
            _token.reset(reset)

    return wrapped


def _failing_its_task(call):
    def wrapped(func_ref, event):
        try:
            return call(func_ref, event)
        except stepfunctions._ExecutionError as error:
            info = stepfunctions._task_tokens.get(_token.get())
            if info:
                info["error"] = {"Error": error.error, "Cause": error.cause}
                info["event"].set()
            raise

    return wrapped


def _watch(token: str, seconds: float) -> None:
    """Fail the token once it was silent for `seconds`; ends with the token."""
    started = time.monotonic()
    seen = False
    while True:
        info = stepfunctions._task_tokens.get(token)
        if info is None and (seen or time.monotonic() - started > seconds):
            return
        if info is not None:
            seen = True
            if time.monotonic() - info.get("heartbeatAt", started) > seconds:
                info["error"] = {
                    "Error": "States.HeartbeatTimeout",
                    "Cause": f"no heartbeat for {seconds} seconds",
                }
                info["event"].set()
                return
        time.sleep(_POLL_SECONDS)


def _with_events(invoke):
    def wrapped(resource, input_data):
        is_event = "states:::lambda:invoke" in resource and input_data.get("InvocationType") == "Event"
        if not is_event:
            return invoke(resource, input_data)
        reference = stepfunctions._resolve_lambda_function_ref(input_data.get("FunctionName", ""), optimized=True)
        func, config, name = lambda_svc._get_func_record_for_ref(reference)
        if not func or not config:
            raise stepfunctions._ExecutionError("Lambda.ResourceNotFoundException", f"Function not found: {name}")
        lambda_svc.invoke_async_with_retry(
            lambda_svc._execution_record_for_config(func, config), input_data.get("Payload", {})
        )
        return {"StatusCode": 202, "Payload": ""}

    return wrapped


def _with_error_type(throttle):
    def wrapped(reason_code, msg, retry_after=1):
        result = throttle(reason_code, msg, retry_after)
        result["body"]["errorType"] = "Lambda.TooManyRequestsException"
        return result

    return wrapped
