"""Parameters have a size: 4 KB in the standard tier, 8 KB in the advanced one.

AWS (API reference, PutParameter: Value and Tier): a larger value is a
ValidationException, and an advanced parameter cannot become a standard one.
ministack: keeps values of any size, changes the tier back, and says Intelligent-Tiering
where AWS says what came of it.
"""

from ministack.core.responses import error_response_json
from ministack.services import ssm

from .. import pin
from ..lab import Lab

# Bytes of UTF-8.
LIMITS = {"Standard": 4096, "Advanced": 8192}


def install(lab: Lab) -> None:
    pin.expect(ssm, "_default_tier", "data value existing")
    pin.expect(ssm, "_parameter_name_candidates", "name")
    pin.replace(ssm, "_put_parameter", "data", _limited)


def _limited(put):
    def wrapped(data):
        tier, fault = _tier(data)
        return error_response_json("ValidationException", fault, 400) if fault else put({**data, "Tier": tier})

    return wrapped


def _tier(data: dict) -> tuple[str, str | None]:
    """The tier that the value gets, and why it cannot be put."""
    value = data.get("Value") or ""
    names = ssm._parameter_name_candidates(data.get("Name") or "")
    existing = next((ssm._parameters[name] for name in names if name in ssm._parameters), None)
    size = len(value.encode())
    tier = data.get("Tier") or ssm._default_tier(data, value, existing)
    if tier == "Intelligent-Tiering":
        tier = "Advanced" if size > LIMITS["Standard"] or data.get("Policies") else "Standard"
        if existing and existing.get("Tier") == "Advanced":
            tier = "Advanced"
    elif tier == "Standard" and existing and existing.get("Tier") == "Advanced":
        return tier, "an advanced parameter cannot become a standard one: delete it first"
    limit = LIMITS.get(tier)
    if limit is not None and size > limit:
        return tier, f"{tier} tier parameters support a maximum parameter value of {limit} characters, not {size}"
    return tier, None
