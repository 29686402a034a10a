"""AWS::SSM::Document, created in the lab's own Systems Manager.

The lab serves documents and Run Command itself. The stack's region travels in
the credential scope, as it does with every SDK.
"""

import json
import urllib.error
import urllib.request

from ministack.core.responses import get_region
from ministack.services.cloudformation import stacks

from ... import pin
from ...lab import Lab
from . import registry

_TYPE = "AWS::SSM::Document"
_TIMEOUT_SECONDS = 10


def install(lab: Lab) -> None:
    documents = _Documents(lab.settings.ssm_url)
    registry.add(_TYPE, documents.create, documents.update, documents.delete)
    # The call leaves the process: keep it off the event loop.
    pin.replace(
        stacks,
        "_runs_on_worker_thread",
        "resource_type",
        lambda original: lambda resource_type: resource_type == _TYPE or original(resource_type),
    )


class _Documents:
    """The resource's life in terms of Systems Manager's API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def create(self, logical_id, properties, stack):
        name = registry.name_for(properties, "Name", logical_id, stack, 128)
        request = {"Name": name, "Content": _content(properties)}
        for key in ("DocumentType", "DocumentFormat", "TargetType", "VersionName", "Tags"):
            if properties.get(key):
                request[key] = properties[key]
        self._call("CreateDocument", request)
        return name, {}

    def update(self, physical_id, old, new, stack, logical_id):
        """AWS: a new version with UpdateMethod NewVersion, otherwise a new document, which a fixed name forbids."""
        if new.get("UpdateMethod") != "NewVersion":
            if new.get("Name") == physical_id:
                raise ValueError(
                    f"CloudFormation cannot update a stack when a custom-named resource requires replacing: "
                    f"rename {physical_id} or set UpdateMethod: NewVersion"
                )
            result = self.create(logical_id, new, stack)
            self.delete(physical_id, old)
            return result
        request = {"Name": physical_id, "Content": _content(new), "DocumentVersion": "$LATEST"}
        for key in ("DocumentFormat", "TargetType", "VersionName"):
            if new.get(key):
                request[key] = new[key]
        try:
            answer = self._call("UpdateDocument", request)
        except _ServiceError as error:
            if error.code != "DuplicateDocumentContent":
                raise
            return physical_id, {}
        version = answer["DocumentDescription"]["DocumentVersion"]
        self._call("UpdateDocumentDefaultVersion", {"Name": physical_id, "DocumentVersion": version})
        return physical_id, {}

    def delete(self, physical_id, properties):
        try:
            self._call("DeleteDocument", {"Name": physical_id})
        except _ServiceError as error:
            if error.code != "InvalidDocument":  # it is gone already
                raise

    def _call(self, operation: str, request: dict) -> dict:
        if not self._url:
            raise ValueError(f"{_TYPE}: set LIFEBOAT_LAB_SSM_URL to the lab's Systems Manager")
        scope = f"test/20260101/{get_region()}/ssm/aws4_request"
        http = urllib.request.Request(
            self._url,
            data=json.dumps(request).encode(),
            headers={
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": f"AmazonSSM.{operation}",
                "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
            },
        )
        try:
            with urllib.request.urlopen(http, timeout=_TIMEOUT_SECONDS) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise _ServiceError(operation, error.read()) from None
        except OSError as error:
            raise ValueError(f"{_TYPE}: {operation} at {self._url}: {error}") from None


class _ServiceError(ValueError):
    """Systems Manager refused; `code` is its error's name."""

    def __init__(self, operation: str, body: bytes) -> None:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {}
        self.code = str(answer.get("__type", "")).rpartition("#")[2]
        message = answer.get("message") or answer.get("Message") or body.decode(errors="replace")
        super().__init__(f"{_TYPE}: {operation}: {self.code}: {message}")


def _content(properties: dict) -> str:
    content = properties["Content"]
    return content if isinstance(content, str) else json.dumps(content)
