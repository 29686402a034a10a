"""A machine as scopes: its own states, and those of each branch and item processor.

States of one scope lead to each other only, and share their variables.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

TYPES = ("Task", "Pass", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map")


@dataclass
class Scope:
    """The states between which transitions lead."""

    path: str
    definition: dict
    language: str
    # The state that holds this scope and the scope that it is in; None for the machine's own.
    owner: str | None = None
    parent: "Scope | None" = None
    inner: list["Scope"] = field(default_factory=list)

    @property
    def states(self) -> dict:
        """The scope's states by name."""
        return self.definition["States"]

    def at(self, name: str) -> str:
        """Where a state of this scope is."""
        return f"{self.path}/States/{name}"

    def is_jsonata(self, state: dict) -> bool:
        """Whether a state's expressions are JSONata; a state may choose it for itself."""
        return state.get("QueryLanguage", self.language) == "JSONata"


def parts(name: str, state: dict, path: str) -> Iterator[tuple[str, object]]:
    """The definitions inside a state, with their places."""
    branches = state.get("Branches")
    if state.get("Type") == "Parallel" and isinstance(branches, list):
        for index, branch in enumerate(branches):
            yield f"{path}/States/{name}/Branches[{index}]", branch
    if state.get("Type") == "Map":
        for key in ("ItemProcessor", "Iterator"):
            if key in state:
                yield f"{path}/States/{name}/{key}", state[key]


def scopes(definition: dict) -> Iterator[Scope]:
    """All scopes of a machine, outer ones first."""
    todo = [Scope("", definition, definition.get("QueryLanguage", "JSONPath"))]
    while todo:
        scope = todo.pop(0)
        yield scope
        for name, state in scope.states.items():
            for path, inner in parts(name, state, scope.path):
                # A state's own QueryLanguage is not its inner states': those have the machine's.
                below = Scope(path, inner, scope.language, name, scope)
                scope.inner.append(below)
                todo.append(below)


def handlers(state: dict, kind: str) -> list[dict]:
    """The entries of Retry, Catch or Choices that are objects."""
    entries = state.get(kind)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
