"""What is wrong with a state machine's definition, as far as AWS refuses it at creation.

A pure check of structure: targets exist, types are known, every state ends or
goes on. Not a full validator.
"""

_TYPES = ("Task", "Pass", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map")
_FINAL = ("Succeed", "Fail")


def problem(definition: dict, path: str = "") -> str | None:
    """The first fault as `CODE: text at /path`, or None."""
    states = definition.get("States")
    if not isinstance(states, dict) or not states:
        return f"SCHEMA_VALIDATION_FAILED: States is missing or empty at {path}/States"
    if definition.get("StartAt") not in states:
        return f"MISSING_TRANSITION_TARGET: Missing 'StartAt' target: {definition.get('StartAt')} at {path}/StartAt"
    for name, state in states.items():
        found = _state_problem(state, set(states), f"{path}/States/{name}")
        if found:
            return found
    return None


def _state_problem(state: dict, names: set, path: str) -> str | None:
    kind = state.get("Type")
    if kind not in _TYPES:
        return f"SCHEMA_VALIDATION_FAILED: unknown type {kind} at {path}/Type"
    targets = [(state["Next"], f"{path}/Next")] if "Next" in state else []
    if "Default" in state:
        targets.append((state["Default"], f"{path}/Default"))
    for field in ("Choices", "Catch"):
        targets += [
            (entry.get("Next"), f"{path}/{field}[{index}]/Next") for index, entry in enumerate(state.get(field) or [])
        ]
    for target, at in targets:
        if target not in names:
            return f"MISSING_TRANSITION_TARGET: Missing 'Next' target: {target} at {at}"
    goes_on = "Next" in state or state.get("End") is True
    if kind not in (*_FINAL, "Choice") and not goes_on:
        return f"SCHEMA_VALIDATION_FAILED: neither Next nor End at {path}"
    for index, branch in enumerate(state.get("Branches") or []):
        found = problem(branch, f"{path}/Branches[{index}]")
        if found:
            return found
    if kind == "Map":
        return problem(state.get("ItemProcessor") or state.get("Iterator") or {}, f"{path}/ItemProcessor")
    return None
