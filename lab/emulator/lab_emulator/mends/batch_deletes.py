"""DeleteObjects is allowed or refused key by key.

AWS: answers 200 and lists each key that the caller may not delete under Errors,
as s3:DeleteObject, or s3:DeleteObjectVersion with a version id; the others go.
ministack: refuses the whole call when one key is refused, and asks for
s3:DeleteObject for the first one even when a version is named.
"""

from xml.etree.ElementTree import SubElement, fromstring, tostring

from ministack.core import iam_actions, iam_evaluator, router
from ministack.services import s3

from .. import pin
from ..lab import Lab

# What the call as a whole is asked for instead: only who the caller is.
_WHOLE = "DeleteObjects"


def install(lab: Lab) -> None:
    pin.expect(iam_evaluator, "check_credentials", "access_key_id service")
    pin.expect(router, "extract_access_key_id", "headers query_params")
    pin.expect(router, "extract_region", "headers query_params")
    pin.replace(iam_actions, "_s3_action", "method path query_params", _as_a_whole)
    pin.replace(iam_actions, "s3_additional_checks", "method path headers body query_params", _none)
    pin.replace(
        iam_evaluator, "enforce", "access_key_id iam_action service region resource_arn service_context", _only_identify
    )
    pin.replace(s3, "_delete_objects", "bucket_name body headers", _each)


def _is_batch(method: str, path: str, query_params: dict) -> bool:
    return method == "POST" and "delete" in query_params and len([p for p in path.split("/") if p]) == 1


def _as_a_whole(action):
    def wrapped(method, path, query_params):
        return _WHOLE if _is_batch(method, path, query_params) else action(method, path, query_params)

    return wrapped


def _none(checks):
    def wrapped(method, path, headers, body, query_params):
        return [] if _is_batch(method, path, query_params) else checks(method, path, headers, body, query_params)

    return wrapped


def _only_identify(enforce):
    def wrapped(access_key_id, iam_action, service, region, resource_arn="*", service_context=None):
        if iam_action == f"s3:{_WHOLE}":
            # An unsigned call is refused by the owner's check, as before.
            return iam_evaluator.check_credentials(access_key_id, service) if access_key_id else None
        return enforce(access_key_id, iam_action, service, region, resource_arn, service_context)

    return wrapped


def _each(delete):
    def wrapped(bucket_name, body, headers=None):
        headers = headers or {}
        key_id = router.extract_access_key_id(headers)
        bypass = headers.get("x-amz-bypass-governance-retention", "").lower() == "true"
        try:
            request = fromstring(body)
        except SyntaxError:
            return delete(bucket_name, body, headers)
        refused = []
        for entry in [e for e in request if e.tag.rpartition("}")[2] == "Object"] if key_id else []:
            fields = {child.tag.rpartition("}")[2]: child.text or "" for child in entry}
            message = _refusal(key_id, bucket_name, fields, bypass, headers)
            if message:
                refused.append((fields, message))
                request.remove(entry)
        status, answer_headers, answer = delete(bucket_name, tostring(request), headers)
        if refused and status == 200:
            result = fromstring(answer)
            namespace = result.tag.rpartition("}")[0] + "}" if "}" in result.tag else ""
            for fields, message in refused:
                error = SubElement(result, f"{namespace}Error")
                for name in ("Key", "VersionId"):
                    if fields.get(name):
                        SubElement(error, namespace + name).text = fields[name]
                SubElement(error, f"{namespace}Code").text = "AccessDenied"
                SubElement(error, f"{namespace}Message").text = message
            answer = tostring(result, encoding="utf-8", xml_declaration=True)
        return status, answer_headers, answer

    return wrapped


def _refusal(key_id: str, bucket: str, fields: dict, bypass: bool, headers: dict) -> str | None:
    """Why the caller may not delete this one; None when it may."""
    resource = f"arn:aws:s3:::{bucket}/{fields.get('Key', '')}"
    actions = ["s3:DeleteObjectVersion" if fields.get("VersionId") else "s3:DeleteObject"]
    actions += ["s3:BypassGovernanceRetention"] if bypass else []
    for action in actions:
        denied = iam_evaluator.enforce(key_id, action, "s3", router.extract_region(headers), resource_arn=resource)
        if denied is not None:
            who = getattr(denied, "principal_arn", "") or key_id
            return f"User: {who} is not authorized to perform: {action} on resource: {resource}"
    return None
