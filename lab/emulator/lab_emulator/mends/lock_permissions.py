"""Setting a lock, a hold or tags with an upload takes the permission for that too.

AWS: PutObject and CreateMultipartUpload with object lock headers need
s3:PutObjectRetention, with a legal hold s3:PutObjectLegalHold, with tags
s3:PutObjectTagging.
ministack: asks for s3:PutObject only.
"""

from ministack.core import iam_actions

from .. import pin
from ..lab import Lab

_NEEDED = (
    ("x-amz-object-lock-mode", "s3:PutObjectRetention"),
    ("x-amz-object-lock-legal-hold", "s3:PutObjectLegalHold"),
    ("x-amz-tagging", "s3:PutObjectTagging"),
)


def install(lab: Lab) -> None:
    pin.replace(iam_actions, "s3_additional_checks", "method path headers body query_params", _with_locks)


def _with_locks(checks):
    def wrapped(method, path, headers, body, query_params):
        found = checks(method, path, headers, body, query_params)
        bucket, _, key = path.lstrip("/").partition("/")
        uploads = method == "PUT" and not query_params or method == "POST" and "uploads" in query_params
        # `x-id` is the name that SDKs add to some requests.
        uploads = uploads or method == "PUT" and set(query_params) <= {"x-id"}
        if not key or not uploads:
            return found
        return found + [(action, f"arn:aws:s3:::{bucket}/{key}") for name, action in _NEEDED if headers.get(name)]

    return wrapped
