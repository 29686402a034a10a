"""Adding resource types, and steps to known ones, in ministack's table of handlers."""

from ministack.services.cloudformation import provisioners

from ... import pin


def add(resource_type: str, create, update, delete) -> None:
    """Register a resource type.

    `create(logical_id, properties, stack)` and
    `update(physical_id, old, new, stack, logical_id)` return
    `(physical_id, attributes)`; `delete(physical_id, properties)`.
    """
    if resource_type in provisioners._RESOURCE_HANDLERS:
        raise pin.PinError(f"ministack knows {resource_type} now: remove its mend")
    provisioners._RESOURCE_HANDLERS[resource_type] = {
        "create": create,
        "update": update,
        "update_with_logical_id": True,
        "delete": delete,
    }


def after(resource_type: str, step) -> None:
    """Call `step(physical_id, properties, old_properties)` after each create (old is None) and update."""
    handlers = provisioners._RESOURCE_HANDLERS[resource_type]
    create, update = handlers["create"], handlers["update"]

    def created(logical_id, properties, stack):
        result = create(logical_id, properties, stack)
        step(result[0], properties, None)
        return result

    def updated(physical_id, old, new, *rest):
        result = update(physical_id, old, new, *rest)
        step(result[0], new, old)
        return result

    handlers["create"], handlers["update"] = created, updated


def name_for(properties: dict, key: str, logical_id: str, stack: str, longest: int) -> str:
    """The name given in the template, or one made from the stack's and the logical name."""
    return properties.get(key) or provisioners._physical_name(stack, logical_id, max_len=longest)


def boolean(value) -> bool:
    """A template's boolean, which a parameter makes a string."""
    return value if isinstance(value, bool) else str(value).lower() == "true"


def refuse(resource_type: str, response: tuple) -> None:
    """Fail the stack when a service's answer is an error."""
    status, _headers, body = response
    if status >= 400:
        text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
        raise ValueError(f"{resource_type}: {text}")
