"""Functions of a dark region do not run.

AWS: a region that is lost takes its functions along, whoever invoked them.
ministack: invocations from state machines, schedules, rules and topics are
calls inside its one process, which no network fault can stop.
"""

import asyncio

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from .. import pin, workers
from ..lab import Lab

_LOST = {
    "body": {"errorType": "Lambda.ServiceException", "errorMessage": "the region of this function is dark"},
    "error": True,
    "log": "",
}


def install(lab: Lab) -> None:
    pin.replace(lambda_svc, "_execute_function", "func event", lambda original: _gated(lab, original))
    pin.replace(lambda_svc, "_iter_all_esms", "", lambda original: lambda: _lit_mappings(lab, original))


def _gated(lab: Lab, original):
    def execute(func, event):
        config = func.get("config") or func
        _account, region = lambda_runtime._account_region_from_function_config(config)
        if not _may_go_on(lab, region):
            return dict(_LOST)
        result = original(func, event)
        # It may have gone dark meanwhile: then the answer is lost, or late.
        # A process that was being started escaped the first signal.
        mode = lab.regions.mode(region)
        if mode is not None:
            workers.stop_region(region, mode)
        return result if _may_go_on(lab, region) else dict(_LOST)

    return execute


def _may_go_on(lab: Lab, region: str) -> bool:
    """Wait while the region hangs; never on the event loop, which serves every region."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return lab.regions.pass_or_wait(region)
    return lab.regions.mode(region) is None


def _lit_mappings(lab: Lab, original):
    """Event source mappings of lit regions: one poller serves all and must not hang."""
    for account, region, mapping in original():
        if lab.regions.mode(region) is None:
            yield account, region, mapping
