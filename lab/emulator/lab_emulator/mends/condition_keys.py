"""Condition keys that policies of this project rely on.

AWS: `cloudwatch:namespace` is the namespace that PutMetricData writes to.
`aws:PrincipalArn` of a role's session is the ARN of the role, with its path.
`aws:SecureTransport` is true for whoever comes over TLS, as every SDK does.
`s3:if-match` and `s3:if-none-match` are the headers of a conditional write, and
`s3:ObjectCreationOperation` is false for the calls of a multipart upload that
make no object yet (S3 user guide, "Enforce conditional writes").
ministack: does not know the first, and so refuses what such a policy allows; the
second is the session's ARN, which no policy about a role matches; the third is
false, because the lab's gateway, which stands for AWS's endpoints, speaks plain
HTTP on loopback; the last three it does not know.
"""

import json

import cbor2
from ministack.core import iam_actions, iam_evaluator
from ministack.services import iam

from .. import pin
from ..lab import Lab


def install(lab: Lab) -> None:
    pin.replace(iam_actions, "request_tag_context", "service iam_action body params", _with_namespace)
    pin.replace(iam_evaluator, "_resolve_condition_key", "key ctx", _with_role)
    pin.replace(iam_actions, "s3_service_context", "iam_action query_params path headers", _with_conditions)


def _with_namespace(original):
    def context(service, iam_action, body, params):
        found = original(service, iam_action, body, params)
        if iam_action == "cloudwatch:PutMetricData":
            return {**found, "cloudwatch:namespace": namespace(body, params)}
        return found

    return context


def _with_conditions(original):
    def context(iam_action, query_params, path="", headers=None):
        found = original(iam_action, query_params, path, headers)
        if iam_action != "s3:PutObject":
            return found
        parts = {"uploads", "partNumber"} & set(query_params or {})
        named = {name: headers[name] for name in ("if-match", "if-none-match") if (headers or {}).get(name)}
        keys = {f"s3:{name}": value for name, value in named.items()}
        return {**found, **keys, "s3:ObjectCreationOperation": "false" if parts else "true"}

    return context


def _with_role(original):
    def resolve(key, ctx):
        if key.lower() == "aws:securetransport":
            return "true"
        value = original(key, ctx)
        if key.lower() != "aws:principalarn" or ":assumed-role/" not in str(value):
            return value
        account, name = value.split(":")[4], value.split("/")[1]
        role = iam._roles.get_scoped(account, None, name) or {}
        return role.get("Arn") or f"arn:aws:iam::{account}:role/{name}"

    return resolve


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
