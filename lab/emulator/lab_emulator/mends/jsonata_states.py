"""JSONata states: outputs of Succeed and Parallel, assignments at once, branches of their own.

AWS: Succeed has an Output, Parallel has Arguments, Output and Assign; all
expressions of an Assign see the variables as they were before the state; a
branch has its own context and variables.
ministack: ignores those fields, assigns one after the other, and lets the
branches of a Parallel overwrite each other's `$states.context.State`.
"""

import copy

from ministack.services import stepfunctions

from .. import pin
from ..lab import Lab


def install(lab: Lab) -> None:
    for name, parameters in (
        ("_state_query_language", "state_def ctx"),
        ("_apply_jsonata_output", "state_def raw_input ctx result error_output default"),
        ("_apply_jsonata_arguments", "state_def raw_input ctx"),
    ):
        pin.expect(stepfunctions, name, parameters)
    pin.replace(stepfunctions, "_apply_output_path", "state_def data ctx", _with_output_of_succeed)
    pin.replace(stepfunctions, "_apply_state_assign", "state_def raw_input ctx result error_output", _at_once)
    pin.replace(stepfunctions, "_run_parallel_branches", "state_def raw_input execution ctx", _with_fields)
    pin.replace(stepfunctions, "_run_sub_machine", "states start_at input_data execution ctx", _in_own_context)


def _is_jsonata(state: dict, context: dict | None) -> bool:
    return stepfunctions._state_query_language(state, context) == "JSONata"


def _with_output_of_succeed(original):
    def apply(state, data, context=None):
        if state.get("Type") == "Succeed" and _is_jsonata(state, context):
            return stepfunctions._apply_jsonata_output(state, data, context, default=data)
        return original(state, data, context)

    return apply


def _at_once(original):
    def assign(state, raw_input, context, result=None, error_output=None):
        if context is None:
            return
        before = context.get("variables", {})
        merged = dict(before)
        for name in state.get("Assign") or {}:
            # One expression at a time, each on the variables as they were.
            context["variables"] = dict(before)
            original({**state, "Assign": {name: state["Assign"][name]}}, raw_input, context, result, error_output)
            if name in context["variables"]:
                merged[name] = context["variables"][name]
        context["variables"] = merged

    return assign


def _with_fields(original):
    def run(state, raw_input, execution, context):
        if not _is_jsonata(state, context):
            return original(state, raw_input, execution, context)
        arguments = stepfunctions._apply_jsonata_arguments(state, raw_input, context)
        results, following = original(state, arguments, execution, context)
        output = stepfunctions._apply_jsonata_output(state, raw_input, context, result=results, default=results)
        stepfunctions._apply_state_assign(state, raw_input, context, result=results)
        return output, following

    return run


def _in_own_context(original):
    return lambda states, start_at, input_data, execution, context: original(
        states, start_at, input_data, execution, copy.deepcopy(context)
    )
