"""A request that expects another owner of its bucket is refused.

AWS: with `x-amz-expected-bucket-owner` a request to a bucket of another account
is answered 403, whatever the bucket's policy allows; for the source of a copy
there is `x-amz-source-expected-bucket-owner` (S3 user guide, "Verifying bucket
ownership with bucket owner condition").
ministack: reads neither header.
"""

from urllib.parse import unquote

from ministack.services import s3

from .. import pin
from ..lab import Lab

_OWNER = "x-amz-expected-bucket-owner"
_SOURCE_OWNER = "x-amz-source-expected-bucket-owner"


def install(lab: Lab) -> None:
    pin.expect(s3, "_bucket_owner_account", "name")
    pin.replace(s3, "_apply_bucket_scope", "method bucket key headers query_params body internal", _with_owner)


def _with_owner(original):
    def apply(method, bucket, key, headers, query_params, body=b"", internal=False):
        source = unquote(headers.get("x-amz-copy-source", "")).lstrip("/").partition("/")[0]
        for name, expected in ((bucket, headers.get(_OWNER)), (source, headers.get(_SOURCE_OWNER))):
            owner = s3._bucket_owner_account(name) if name and expected else None
            if owner is not None and owner != expected:
                return s3._error("AccessDenied", "Access Denied", 403, f"/{bucket}/{key}" if key else f"/{bucket}")
        return original(method, bucket, key, headers, query_params, body, internal)

    return apply
