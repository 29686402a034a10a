"""What an execution may hold: sizes between states, events in its history, items of a Map at once.

AWS (developer guide, "Step Functions service quotas"; "Starting new executions to avoid
reaching the history quota"): input and output of a state or task have at most 256 KiB, else
the state fails with States.DataLimitExceeded, which neither States.ALL nor
States.TaskFailed matches, just as States.Runtime; what one Assign stores has the same
limit, and all variables together 10 MiB. The history has at most 25,000 events: an
execution whose last one is not its success fails. An inline Map runs 40 items at once.
ministack: has none of these limits, and lets States.ALL catch everything.

The history counts the states inside branches and items too, which AWS writes and
ministack does not.
"""

import json
import threading

from ministack.core.responses import error_response_json
from ministack.services import stepfunctions

from .. import pin
from ..lab import Lab
from . import machine_runs

MAX_BYTES = 256 * 1024
MAX_VARIABLE_BYTES = 10 * 1024 * 1024
MAX_EVENTS = 25_000
MAX_INLINE_ITEMS = 40

_UNCAUGHT = ("States.DataLimitExceeded", "States.Runtime")
# Entering and leaving a state inside a branch, and the beginning and end of the branch or item.
_EVENTS_OF_INNER_STATE = 2
_EVENTS_OF_BRANCH = 2

# Branches count in threads of their own.
_counting = threading.Lock()


def install(lab: Lab) -> None:
    pin.replace(stepfunctions, "_start_execution", "data", _with_small_input)
    pin.replace(stepfunctions, "_error_matches", "error_equals error", _by_name_only)
    pin.replace(stepfunctions, "_invoke_resource", "resource input_data", _task)
    pin.replace(stepfunctions, "_invoke_with_callback", "resource input_data token state_def", _task)
    for name in ("_execute_pass", "_execute_choice", "_execute_wait"):
        pin.replace(stepfunctions, name, "state_def raw_input ctx", _state)
    for name in ("_execute_task", "_execute_parallel", "_execute_map"):
        pin.replace(stepfunctions, name, "state_def raw_input execution ctx", _state)
    results = "state_def raw_input ctx result error_output default"
    pin.replace(stepfunctions, "_apply_jsonata_output", results, _with_small_result)
    pin.replace(stepfunctions, "_apply_state_assign", "state_def raw_input ctx result error_output", _assigning)
    pin.replace(stepfunctions, "_add_event", "execution event_type details", _counted)
    pin.replace(stepfunctions, "_run_sub_machine", "states start_at input_data execution ctx", _branch)
    pin.replace(stepfunctions, "_run_map_items", "state_def raw_input execution ctx", _few_at_once)
    pin.expect(stepfunctions, "_jsonata_state_field", "state_def field expected raw_input ctx")


def size(value) -> int:
    """The bytes of a JSON value, as short as it can be written."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def _hold(what: str, value, limit: int = MAX_BYTES) -> None:
    if size(value) > limit:
        raise stepfunctions._ExecutionError(
            "States.DataLimitExceeded",
            f"{what} has {size(value)} bytes, above the limit of {limit}",
        )


def _name(context: dict | None) -> str:
    return f"state {((context or {}).get('State') or {}).get('Name', '?')}"


def _with_small_input(start):
    def wrapped(data):
        if len((data.get("input") or "").encode()) > MAX_BYTES:
            return error_response_json("ValidationException", f"input has more than {MAX_BYTES} bytes", 400)
        return start(data)

    return wrapped


def _by_name_only(matches):
    return lambda errors, error: error in errors if error in _UNCAUGHT else matches(errors, error)


def _task(invoke):
    def wrapped(resource, input_data, *more):
        _hold(f"the input of {resource}", input_data)
        result = invoke(resource, input_data, *more)
        _hold(f"the result of {resource}", result)
        return result

    return wrapped


def _state(run):
    def wrapped(state, raw_input, *more):
        context = more[-1]
        if machine_runs.is_inner():
            _use(machine_runs.current(), _EVENTS_OF_INNER_STATE)
        output, following = run(state, raw_input, *more)
        _hold(f"the output of {_name(context)}", output)
        return output, following

    return wrapped


def _with_small_result(apply):
    def wrapped(state, raw_input, context=None, result=None, error_output=None, default=None):
        _hold(f"the result of {_name(context)}", result)
        return apply(state, raw_input, context, result, error_output, default)

    return wrapped


def _assigning(assign):
    def wrapped(state, raw_input, context, result=None, error_output=None):
        assign(state, raw_input, context, result, error_output)
        variables = (context or {}).get("variables") or {}
        stored = {name: variables[name] for name in state.get("Assign") or {} if name in variables}
        if stored:
            _hold(f"what {_name(context)} assigns", stored)
            _hold(f"all variables after {_name(context)}", variables, MAX_VARIABLE_BYTES)

    return wrapped


def _counted(add):
    def wrapped(execution, event_type, details=None):
        # A task has a TaskStarted too, which ministack does not write.
        if not event_type.startswith("Execution"):
            _use(execution, 2 if event_type == "TaskScheduled" else 1)
        return add(execution, event_type, details)

    return wrapped


def _branch(run):
    def wrapped(states, start_at, input_data, execution, context):
        _use(execution, _EVENTS_OF_BRANCH)
        return run(states, start_at, input_data, execution, context)

    return wrapped


def _use(execution: dict | None, events: int) -> None:
    """Take events of the history, of which two are its beginning and its end."""
    if not execution or "executionArn" not in execution:
        return  # TestState has none
    with _counting:
        used = execution["labEvents"] = execution.get("labEvents", 2) + events
    if used > MAX_EVENTS:
        cause = f"the execution reached the maximum number of history events ({MAX_EVENTS})"
        stepfunctions._fail_execution(execution, "States.Runtime", cause)
        raise machine_runs.Halted


def _few_at_once(run):
    def wrapped(state, raw_input, execution, context):
        processor = state.get("ItemProcessor") or state.get("Iterator") or {}
        if (processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED":
            return run(state, raw_input, execution, context)
        wanted = state.get("MaxConcurrency", 0)
        if isinstance(wanted, str):
            wanted = stepfunctions._jsonata_state_field(state, "MaxConcurrency", "number", raw_input, context)
        bounded = min(int(wanted) or MAX_INLINE_ITEMS, MAX_INLINE_ITEMS)
        return run({**state, "MaxConcurrency": bounded}, raw_input, execution, context)

    return wrapped
