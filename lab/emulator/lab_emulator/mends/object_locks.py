"""Object lock, legal hold and tags of multipart uploads, and locks that make sense.

AWS: a completed multipart upload gets the lock that CreateMultipartUpload named,
or else the bucket's default retention, and the tags it named. A mode needs a date
and a date a mode, and the date must be in the future.
ministack: gives such objects no lock and no tags, and takes any date.
"""

import re
from datetime import datetime, timezone
from urllib.parse import parse_qsl

from ministack.services import s3

from .. import pin
from ..lab import Lab

_MODE, _UNTIL = "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"
_UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")
# Where an upload keeps what its completion needs.
_KEPT = "lab_headers"


def install(lab: Lab) -> None:
    pin.expect(s3, "_apply_object_lock_from_headers", "bucket_name key headers version_id")
    pin.replace(s3, "_create_multipart_upload", "bucket_name key headers", _remember)
    pin.replace(s3, "_complete_multipart_upload", "bucket_name key body query_params headers", _apply)
    pin.replace(s3, "_object_lock_header_error", "bucket_name headers", _check_headers)
    pin.replace(s3, "_put_object_retention", "bucket_name key body headers query_params", _check_body)


def upload_tags(upload: dict) -> dict:
    """The tags that a multipart upload's object will have."""
    return dict(parse_qsl(upload.get(_KEPT, {}).get("x-amz-tagging", ""), keep_blank_values=True))


def _remember(create):
    def wrapped(bucket_name, key, headers):
        answer = create(bucket_name, key, headers)
        if answer[0] == 200:
            upload = s3._multipart_uploads[_UPLOAD_ID.search(answer[2]).group(1).decode()]
            upload[_KEPT] = {
                name: value for name, value in headers.items() if name.startswith(("x-amz-object-lock-", "x-amz-tagging"))
            }
        return answer

    return wrapped


def _apply(complete):
    def wrapped(bucket_name, key, body, query_params, headers=None):
        upload = s3._multipart_uploads.get(s3._qp(query_params, "uploadId"))
        answer = complete(bucket_name, key, body, query_params, headers)
        # A completion that is repeated gets the first one's answer; its upload is gone.
        if answer[0] == 200 and upload is not None:
            version = answer[1].get("x-amz-version-id")
            if tags := upload_tags(upload):
                s3._object_tags[(bucket_name, key, version)] = tags
            s3._apply_object_lock_from_headers(bucket_name, key, upload.get(_KEPT, {}), version)
        return answer

    return wrapped


def _check_headers(check):
    def wrapped(bucket_name, headers):
        mode, until = headers.get(_MODE), headers.get(_UNTIL)
        if bool(mode) != bool(until):
            text = f"{_UNTIL} and {_MODE} must both be supplied"
            return s3._error("InvalidArgument", text, 400)
        return check(bucket_name, headers) or (_past(until) if until else None)

    return wrapped


def _check_body(put):
    def wrapped(bucket_name, key, body, headers, query_params=None):
        found = re.search(rb"<RetainUntilDate>([^<]+)<", body)
        refused = _past(found.group(1).decode()) if found else None
        return refused or put(bucket_name, key, body, headers, query_params)

    return wrapped


def _past(until: str) -> tuple | None:
    """The refusal of a date that is over, or is none."""
    try:
        end = datetime.fromisoformat(until)
    except ValueError:
        return s3._error("InvalidArgument", "The retain until date must be provided in ISO 8601 format", 400)
    end = end if end.tzinfo else end.replace(tzinfo=timezone.utc)
    if end > datetime.now(timezone.utc):
        return None
    return s3._error("InvalidArgument", "The retain until date must be in the future!", 400)
