"""The emulator's front door: the lab's own `/_lab/` paths, and the gate of dark regions.

GET  /_lab/health     {"status": "ok", "regions": {...dark ones}}
GET  /_lab/workers    [{"pid", "function", "region"}]
POST /_lab/region     {"region", "state": "dark"|"lit", "mode": "kill"|"hang"}
POST /_lab/authorize  {"access_key_id", "action", "resource", "region", "context"}
POST /_lab/objects    {"bucket", "objects": {key: text}}
"""

import asyncio
import contextvars
import json

from ministack.core.router import extract_region

from . import authorize, objects, workers
from .lab import Lab
from .regions import KILL

_STARTS_WORK = tuple(f"AWSStepFunctions.{name}Execution" for name in ("Start", "StartSync", "Redrive"))
_INVOCATIONS = ("/invocations", "/response-streaming-invocations")


class Control:
    """ASGI application in front of ministack's."""

    def __init__(self, lab: Lab, application) -> None:
        self._lab = lab
        self._application = application

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http":
            if scope["path"].startswith("/_lab/"):
                await self._answer(scope, receive, send)
                return
            if not await self._may_pass(scope):
                await _send_json(send, 503, {"__type": "ServiceUnavailable", "message": "the region is dark"})
                return
        await self._application(scope, receive, send)

    async def _may_pass(self, scope) -> bool:
        """Hold or refuse what would start work in a dark region; reads stay possible for the lab."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        starts_work = headers.get("x-amz-target", "") in _STARTS_WORK or scope["path"].endswith(_INVOCATIONS)
        if not starts_work:
            return True
        region = extract_region(headers)
        while (mode := self._lab.regions.mode(region)) is not None:
            if mode == KILL:
                return False
            await asyncio.sleep(0.05)
        return True

    async def _answer(self, scope, receive, send) -> None:
        route = (scope["method"], scope["path"])
        try:
            if route == ("GET", "/_lab/health"):
                await _send_json(send, 200, {"status": "ok", "regions": self._lab.regions.dark()})
            elif route == ("GET", "/_lab/workers"):
                await _send_json(send, 200, workers.listing())
            elif route == ("POST", "/_lab/region"):
                await _send_json(send, 200, await self._switch(await _body(receive)))
            elif route == ("POST", "/_lab/authorize"):
                request = await _body(receive)
                # The engine keeps the caller in context variables: give it a context of its own.
                verdict = contextvars.copy_context().run(
                    authorize.authorize,
                    request["access_key_id"],
                    request["action"],
                    request.get("resource", "*"),
                    request.get("region", "us-east-1"),
                    request.get("context") or {},
                )
                await _send_json(send, 200, verdict)
            elif route == ("POST", "/_lab/objects"):
                request = await _body(receive)
                await _send_json(send, 200, {"put": objects.put(request["bucket"], request["objects"])})
            else:
                await _send_json(send, 404, {"message": f"no such path: {route[0]} {route[1]}"})
        except (ValueError, KeyError, TypeError) as error:
            await _send_json(send, 400, {"message": f"bad request: {error}"})

    async def _switch(self, request: dict) -> dict:
        regions = self._lab.regions
        if request["state"] == "dark":
            await asyncio.to_thread(regions.darken, request["region"], request.get("mode", KILL))
        elif request["state"] == "lit":
            await asyncio.to_thread(regions.light, request["region"])
        else:
            raise ValueError("state must be dark or lit")
        return {"regions": regions.dark()}


async def _body(receive) -> dict:
    """The request's JSON object."""
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    value = json.loads(b"".join(chunks) or b"{}")
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object")
    return value


async def _send_json(send, status: int, value) -> None:
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
