"""Replication of buckets waits for a dark region.

AWS: an object whose replica cannot be written yet is PENDING and is replicated
when the destination is back. ministack: copies at once, within its one process,
into whatever region. (Between lit regions the copy stays immediate here: the
lab does not show replication lag.)
"""

import contextvars
import threading

from ministack.services import s3

from .. import pin
from ..lab import Lab


def install(lab: Lab) -> None:
    from . import replicas

    backlog = Backlog(lab)
    pin.expect(s3, "_replication_rule_for", "bucket_name key tags")
    pin.expect(s3, "_replication_destination", "bucket_name key rule role")
    pin.replace(s3, "_maybe_replicate", "bucket_name key obj data tags", replicas.replicate_as_is)
    pin.replace(s3, "_maybe_replicate", "bucket_name key obj data tags", backlog.objects)
    pin.replace(s3, "_maybe_replicate_delete_marker", "bucket_name key", backlog.markers)
    lab.regions.on_change(lambda region, mode: None, backlog.catch_up)
    replicas.install(backlog)


class Backlog:
    """What each dark region has not received yet, oldest first."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._lock = threading.Lock()
        self._waiting: dict[str, list] = {}

    def objects(self, replicate):
        def wrapped(bucket, key, obj, data, tags=None):
            region = self._dark_destination(bucket, key, tags)
            if region is None:
                replicate(bucket, key, obj, data, tags)
                return
            obj["replication_status"] = "PENDING"

            def later():
                replicate(bucket, key, obj, data, tags)
                # The version's record took the status when it was written.
                for version in s3._object_versions.get((bucket, key)) or []:
                    if version["version_id"] == obj.get("version_id"):
                        version["replication_status"] = obj["replication_status"]

            self._add(region, later)

        return wrapped

    def markers(self, replicate):
        def wrapped(bucket, key):
            region = self._dark_destination(bucket, key, None)
            if region is None:
                replicate(bucket, key)
            else:
                self._add(region, lambda: replicate(bucket, key))

        return wrapped

    def follow(self, bucket: str, key: str, version: str | None, action) -> None:
        """Do `action` on the replica of an object's version, when its region is lit."""
        region = self._dark_destination(bucket, key, s3._object_tags.get((bucket, key, version)))
        if region is None:
            action()
        else:
            self._add(region, action)

    def catch_up(self, region: str) -> None:
        """Replicate, in order, what the region missed."""
        with self._lock:
            missed = self._waiting.pop(region, [])
        for context, action in missed:
            context.run(action)

    def _add(self, region: str, action) -> None:
        with self._lock:
            self._waiting.setdefault(region, []).append((contextvars.copy_context(), action))

    def _dark_destination(self, bucket: str, key: str, tags: dict | None) -> str | None:
        """The dark region that a replica of this write belongs in, or None."""
        if not self._lab.regions.dark():
            return None
        rule, role = s3._replication_rule_for(bucket, key, tags)
        target = s3._replication_destination(bucket, key, rule, role) if rule else None
        region = target[2].get("region", "us-east-1") if target else ""
        return region if self._lab.regions.mode(region) is not None else None
