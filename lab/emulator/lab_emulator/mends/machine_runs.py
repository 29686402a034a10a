"""Executions of state machines that can be stopped: by their own limit, by a sibling, by the dark.

AWS: TimeoutSeconds of the machine ends the execution as TIMED_OUT; a failed
branch of a Parallel or Map stops its siblings; a stopped execution does nothing
more, and redriven it goes on with the variables that it had; a region that is
lost takes its executions along.
ministack: ignores the machine's TimeoutSeconds, lets siblings and stopped
executions run on, and calls other services inside its one process, so that no
network fault reaches an execution.

Every state, task and wait passes `gate()`, which holds it while the region
hangs and ends the thread when the execution is over.
"""

import contextvars
import copy
import json
import threading
import time

from ministack.core.responses import now_iso
from ministack.services import stepfunctions

from .. import pin
from ..lab import Lab
from ..regions import KILL

_SLICE_SECONDS = 0.2

_execution: contextvars.ContextVar[dict | None] = contextvars.ContextVar("lab_execution", default=None)
# How many times the execution had been redriven when this thread began to run it.
_redrives: contextvars.ContextVar[int] = contextvars.ContextVar("lab_redrives", default=0)
# The variables that an execution had when it entered its last top-level state, by ARN.
_variables: dict[str, dict] = {}
# One event per enclosing Parallel or Map; set once a branch of it has failed.
_abandoned: contextvars.ContextVar[tuple] = contextvars.ContextVar("lab_abandoned", default=())


# Raised where a thread's execution is over. Just this class ends a thread
# quietly, and no handler of the emulator takes it for a failure of a state.
Halted = SystemExit


def install(lab: Lab) -> None:
    def gate() -> None:
        _gate(lab)

    pin.replace(stepfunctions, "_run_execution", "exec_arn", lambda original: lambda arn: start(arn))
    pin.replace(stepfunctions, "_fail_execution", "execution error cause", _only_while_running)
    for name in ("_execute_pass", "_execute_choice", "_execute_wait"):
        pin.replace(stepfunctions, name, "state_def raw_input ctx", lambda original: _gated(gate, original))
    for name in ("_execute_task", "_execute_parallel", "_execute_map"):
        pin.replace(stepfunctions, name, "state_def raw_input execution ctx", lambda original: _gated(gate, original))
    pin.replace(stepfunctions, "_invoke_resource", "resource input_data", lambda original: _gated(gate, original))
    pin.replace(
        stepfunctions,
        "_invoke_with_callback",
        "resource input_data token state_def",
        lambda original: _gated(gate, original),
    )
    pin.replace(stepfunctions, "_scaled_sleep", "seconds", lambda original: lambda seconds: _wait(gate, seconds))
    for name in ("_run_parallel_branches", "_run_map_items"):
        pin.replace(stepfunctions, name, "state_def raw_input execution ctx", _with_siblings)
    pin.replace(
        stepfunctions,
        "_run_distributed_map",
        "state_def raw_input effective iterator execution ctx",
        lambda original: lambda *args: _in_context(original, (), *args),
    )
    pin.replace(stepfunctions, "_run_sub_machine", "states start_at input_data execution ctx", _branch)
    lab.regions.on_change(_fail_region, lambda region: None)


def start(arn: str) -> None:
    """Run an execution from its first state; the body of its thread."""
    execution = stepfunctions._executions.get(arn)
    if execution:
        _run(execution, None, execution["input"])


def resume(arn: str, state: str, text: str) -> None:
    """Run a redriven execution from `state` with that state's input; the body of its thread."""
    _run(stepfunctions._executions.get(arn), state, text)


def current() -> dict | None:
    """The execution that this thread runs; None outside one."""
    return _execution.get()


def is_inner() -> bool:
    """Whether this thread runs a branch of a Parallel or an item of a Map."""
    return bool(_abandoned.get())


def role() -> str:
    """The role of the state machine that this thread runs; empty outside an execution."""
    execution = _execution.get() or {}
    # A distributed map's child names its parent's machine with a label.
    machine_arn = execution.get("stateMachineArn", "").partition("/")[0]
    return (stepfunctions._state_machines.get(machine_arn) or {}).get("roleArn", "")


def _run(execution: dict, state: str | None, text: str) -> None:
    token = _execution.set(execution)
    redrives = _redrives.set(execution.get("redriveCount", 0))
    try:
        _walk(execution, state, text)
    except Halted:
        pass  # whoever ended the execution has recorded why
    except stepfunctions._ExecutionError as error:
        _fail(execution, error.error, error.cause)
    except Exception as error:  # as the service does: an unforeseen failure is the execution's
        _fail(execution, "States.Runtime", f"{type(error).__name__}: {error}")
    finally:
        _redrives.reset(redrives)
        _execution.reset(token)


def _fail(execution: dict, error: str, cause: str) -> None:
    if _is_current(execution):
        stepfunctions._fail_execution(execution, error, cause)


def _is_current(execution: dict) -> bool:
    """Whether this thread runs the execution, and not one that was stopped before it was redriven."""
    return execution.get("redriveCount", 0) == _redrives.get()


def _walk(execution: dict, state: str | None, text: str) -> None:
    machine = stepfunctions._state_machines.get(execution["stateMachineArn"])
    if not machine:
        raise stepfunctions._ExecutionError("States.Runtime", "the state machine does not exist any more")
    definition = json.loads(machine["definition"])
    _limit(execution, definition.get("TimeoutSeconds"))
    value = json.loads(text)
    context = {
        "QueryLanguage": definition.get("QueryLanguage", "JSONPath"),
        "Execution": {
            "Id": execution["executionArn"],
            "Input": json.loads(execution["input"]),
            "Name": execution["name"],
            "RoleArn": machine["roleArn"],
            "StartTime": execution["startDate"],
            "RedriveCount": execution.get("redriveCount", 0),
        },
        "StateMachine": {"Id": execution["stateMachineArn"], "Name": machine["name"]},
        "variables": copy.deepcopy(_variables.get(execution["executionArn"], {})) if state else {},
    }
    name = state or definition.get("StartAt")
    while name:
        value, name = _step(execution, definition.get("States", {}), name, value, context)
    if execution["status"] == "RUNNING" and _is_current(execution):
        output = json.dumps(value)
        execution.update(status="SUCCEEDED", output=output, stopDate=now_iso())
        stepfunctions._add_event(
            execution, "ExecutionSucceeded", {"executionSucceededEventDetails": {"output": output}}
        )
        stepfunctions._emit_execution_status_event(execution)


def _step(execution: dict, states: dict, name: str, value, context: dict) -> tuple:
    """Run one top-level state; returns its output and the next state's name, or None."""
    state = states.get(name)
    if state is None:
        raise stepfunctions._ExecutionError("States.Runtime", f"state '{name}' is not in the definition")
    kind = state.get("Type")
    context["State"] = {"Name": name, "EnteredTime": now_iso(), "RetryCount": 0}
    _variables[execution["executionArn"]] = copy.deepcopy(context["variables"])
    entered = {"name": name, "input": json.dumps(value)}
    stepfunctions._add_event(execution, f"{kind}StateEntered", {"stateEnteredEventDetails": entered})
    if kind == "Fail":
        raise stepfunctions._ExecutionError(*stepfunctions._fail_state_error(state, value, context))
    if kind == "Succeed":
        value = stepfunctions._apply_input_path(state, value, context)
        value, following = stepfunctions._apply_output_path(state, value, context), None
    elif kind in ("Task", "Parallel", "Map"):
        value, following = _handler(kind)(state, value, execution, context)
    else:
        value, following = _handler(kind)(state, value, context)
    exited = {"name": name, "output": json.dumps(value)}
    stepfunctions._add_event(execution, f"{kind}StateExited", {"stateExitedEventDetails": exited})
    return value, following


def _handler(kind: str):
    handler = getattr(stepfunctions, f"_execute_{str(kind).lower()}", None)
    if handler is None:
        raise stepfunctions._ExecutionError("States.Runtime", f"unknown state type: {kind}")
    return handler


def _limit(execution: dict, seconds) -> None:
    """End the execution as TIMED_OUT after the machine's TimeoutSeconds."""
    if not isinstance(seconds, (int, float)):
        return
    redrives = execution.get("redriveCount", 0)
    context = contextvars.copy_context()

    def expire() -> None:
        if execution.get("redriveCount", 0) == redrives:
            context.run(_end, execution, "TIMED_OUT", "States.Timeout", f"timed out after {seconds} seconds")

    timer = threading.Timer(seconds * stepfunctions._SFN_WAIT_SCALE, expire)
    timer.daemon = True
    timer.start()


def _end(execution: dict, status: str, error: str, cause: str) -> None:
    if execution["status"] != "RUNNING":
        return
    execution.update(status=status, error=error, cause=cause, stopDate=now_iso())
    kind = {"TIMED_OUT": "TimedOut", "FAILED": "Failed"}[status]
    stepfunctions._add_event(
        execution, f"Execution{kind}", {f"execution{kind}EventDetails": {"error": error, "cause": cause}}
    )
    stepfunctions._emit_execution_status_event(execution)


def _fail_region(region: str, mode: str) -> None:
    """A killed region's executions are lost at once; nobody is told, for its event bus is lost too."""
    if mode != KILL:
        return
    for execution in list(stepfunctions._executions._data.values()):
        if _region(execution) == region:
            _lose(execution)


def _lose(execution: dict) -> None:
    if execution["status"] == "RUNNING":
        execution.update(status="FAILED", error="Lab.RegionDark", cause="the region went dark", stopDate=now_iso())


def _region(execution: dict) -> str:
    return execution["executionArn"].split(":")[3]


def _only_while_running(original):
    """A stopped or timed-out execution keeps its outcome."""

    def fail(execution, error, cause):
        if execution["status"] == "RUNNING":
            original(execution, error, cause)

    return fail


def _gate(lab: Lab) -> None:
    execution = _execution.get()
    if execution is None:
        return  # StartSyncExecution and TestState run on the caller's behalf
    if not lab.regions.pass_or_wait(_region(execution)):
        _lose(execution)
    is_over = execution["status"] != "RUNNING" or not _is_current(execution)
    if is_over or any(event.is_set() for event in _abandoned.get()):
        raise Halted


def _gated(gate, original):
    def wrapped(*args):
        gate()
        result = original(*args)
        gate()
        return result

    return wrapped


def _wait(gate, seconds: float) -> None:
    """Sleep, but notice the end of the execution; scaled as SFN_WAIT_SCALE says."""
    until = time.monotonic() + seconds * stepfunctions._SFN_WAIT_SCALE
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _SLICE_SECONDS))
        gate()


def _with_siblings(original):
    """Give the branches of one attempt a common flag."""
    return lambda *args: _in_context(original, (*_abandoned.get(), threading.Event()), *args)


def _in_context(function, abandoned: tuple, *args):
    token = _abandoned.set(abandoned)
    try:
        return function(*args)
    finally:
        _abandoned.reset(token)


def _branch(original):
    """Tell the siblings when this branch fails."""

    def run(*args):
        try:
            return original(*args)
        except stepfunctions._ExecutionError:
            for event in _abandoned.get()[-1:]:
                event.set()
            raise

    return run
