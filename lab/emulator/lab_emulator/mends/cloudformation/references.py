"""A reference to nothing fails the template.

AWS refuses it before any resource is made; ministack hands the name itself to
the resource. The check runs after the SAM transform, on `Ref`, `Fn::GetAtt`
and `Fn::Sub` in resources and outputs.
"""

import re

from ministack.services.cloudformation import engine

from ... import pin
from ...lab import Lab

_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")


def install(lab: Lab) -> None:
    def make(original):
        def validate(template):
            original(template)
            missing = sorted(unresolved(template))
            if missing:
                raise ValueError(
                    "Template format error: Unresolved resource dependencies "
                    f"[{', '.join(missing)}] in the Resources block of the template"
                )

        return validate

    pin.replace(engine, "_validate_template_statics", "template", make)


def unresolved(template: dict) -> set[str]:
    """Names that are referred to but are neither resource, parameter nor pseudo parameter."""
    # A template that still declares a transform gets its resources later.
    if template.get("Transform"):
        return set()
    known = set(template.get("Resources") or {}) | set(template.get("Parameters") or {})
    names = set(_names(template.get("Resources") or {})) | set(_names(template.get("Outputs") or {}))
    return {name for name in names if name not in known and not name.startswith("AWS::")}


def _names(node):
    if isinstance(node, list):
        for item in node:
            yield from _names(item)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "Ref" and len(node) == 1 and isinstance(value, str):
            yield value
        elif key == "Fn::GetAtt" and len(node) == 1:
            yield value.split(".")[0] if isinstance(value, str) else value[0]
        elif key == "Fn::Sub" and len(node) == 1:
            yield from _substituted(value)
        else:
            yield from _names(value)


def _substituted(value):
    text, local = (value, {}) if isinstance(value, str) else (value[0], value[1])
    for name in _VARIABLE.findall(text):
        if name not in local:
            yield name.strip().split(".")[0]
    yield from _names(local)
