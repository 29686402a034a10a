"""A version of an object keeps what its checksum is of, and a bucket key is reported.

AWS: HeadObject of a version says `COMPOSITE` for a multipart object's checksum, as
for the current object, and reports the bucket's default bucket key.
ministack: says FULL_OBJECT for a version, and does not report bucket keys.
"""

from ministack.services import s3

from .. import pin
from ..lab import Lab

_BUCKET_KEY = "x-amz-server-side-encryption-bucket-key-enabled"


def install(lab: Lab) -> None:
    pin.replace(s3, "_version_entry_from_record", "obj version_id data", _with_type)
    pin.replace(s3, "_object_record_from_version", "v", _with_type)
    pin.replace(s3, "_bucket_default_sse_headers", "bucket_name", _with_bucket_key)


def _with_type(project):
    def wrapped(source, *rest):
        return {**project(source, *rest), "checksum_type": source.get("checksum_type")}

    return wrapped


def _with_bucket_key(defaults):
    def wrapped(bucket_name):
        found = defaults(bucket_name)
        raw = s3._bucket_encryption.get(bucket_name) or b""
        raw = raw if isinstance(raw, bytes) else raw.encode()
        if found.get("x-amz-server-side-encryption") == "aws:kms" and b"<BucketKeyEnabled>true<" in raw:
            found[_BUCKET_KEY] = "true"
        return found

    return wrapped
