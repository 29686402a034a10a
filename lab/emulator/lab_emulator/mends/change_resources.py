"""A change of Route 53 is a resource of its own.

AWS: `route53:GetChange` is allowed on `arn:aws:route53:::change/<id>`.
ministack: asks for it on `*`, and so refuses what such a policy allows.
"""

from ministack.core import iam_actions

from .. import pin
from ..lab import Lab

_PARAMETERS = "service method path headers body query_params region account_id"


def install(_lab: Lab) -> None:
    pin.replace(iam_actions, "extract_resource_arn", _PARAMETERS, _with_changes)


def _with_changes(original):
    def resource(service, method, path, headers, body, query_params, region, account_id):
        parts = [part for part in path.split("/") if part]
        if service == "route53" and len(parts) == 3 and parts[1] == "change":
            return f"arn:aws:route53:::change/{parts[2]}"
        return original(service, method, path, headers, body, query_params, region, account_id)

    return resource
