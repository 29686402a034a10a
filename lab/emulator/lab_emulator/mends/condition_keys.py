"""Condition keys that policies of this project rely on.

AWS: `cloudwatch:namespace` is the namespace that PutMetricData writes to.
ministack: does not know the key, and so refuses what such a policy allows.
"""

import json

import cbor2
from ministack.core import iam_actions

from .. import pin
from ..lab import Lab


def install(lab: Lab) -> None:
    pin.replace(iam_actions, "request_tag_context", "service iam_action body params", _with_namespace)


def _with_namespace(original):
    def context(service, iam_action, body, params):
        found = original(service, iam_action, body, params)
        if iam_action == "cloudwatch:PutMetricData":
            return {**found, "cloudwatch:namespace": namespace(body, params)}
        return found

    return context


def namespace(body: bytes, params: dict) -> str:
    """The request's Namespace, in whichever of the service's three protocols it came."""
    given = params.get("Namespace")
    if given:
        return given[0] if isinstance(given, list) else given
    try:
        document = json.loads(body) if body[:1] == b"{" else cbor2.loads(body)
    except (ValueError, cbor2.CBORDecodeError):
        return ""
    return str(document.get("Namespace", "")) if isinstance(document, dict) else ""
