"""Completing a multipart upload holds nobody up.

AWS: other calls go on meanwhile.
ministack: hashes all parts again, on the one thread that serves everything; the
MD5 of each part is known since it came, as its ETag.
"""

import hashlib

from ministack.services import s3

from .. import pin
from ..lab import Lab


class _Known:
    """`hashlib`, except that the MD5 of a known part is looked up."""

    def __init__(self, parts) -> None:
        self._digests = {id(part["body"]): bytes.fromhex(part["etag"].strip('"')) for part in parts}

    def __getattr__(self, name):
        return getattr(hashlib, name)

    def md5(self, data=b""):
        digest = self._digests.get(id(data))
        return hashlib.md5(data) if digest is None else _Digest(digest)


class _Digest:
    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    def digest(self) -> bytes:
        return self._digest


def install(lab: Lab) -> None:
    pin.replace(s3, "_complete_multipart_upload", "bucket_name key body query_params headers", _with_known_digests)


def _with_known_digests(complete):
    def wrapped(bucket_name, key, body, query_params, headers=None):
        upload = s3._multipart_uploads.get(s3._qp(query_params, "uploadId")) or {}
        s3.hashlib = _Known(upload.get("parts", {}).values())
        try:
            return complete(bucket_name, key, body, query_params, headers)
        finally:
            s3.hashlib = hashlib

    return wrapped
