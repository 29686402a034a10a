"""Rules of a dark region start nothing, and rules invoke functions as AWS does.

AWS: EventBridge invokes a function asynchronously: two retries, then the
function's failure destination. ministack: one try.
A hanging region's deliveries happen when it is lit; a killed region's are lost.
"""

import contextvars
import json

from ministack.core.responses import get_region
from ministack.services import eventbridge, lambda_svc

from .. import pin
from ..lab import Lab

_TICK = "Scheduled Event"


def install(lab: Lab) -> None:
    def gated(original):
        def invoke(target, event, rule, view=None):
            region = get_region()
            if lab.regions.mode(region) is None:
                return original(target, event, rule, view)
            if event.get("DetailType") == _TICK:
                return None  # the clock's events do not pile up
            context = contextvars.copy_context()
            return lab.regions.defer(region, lambda: context.run(original, target, event, rule, view))

        return invoke

    pin.replace(eventbridge, "_invoke_target", "target event rule view", gated)
    pin.replace(
        eventbridge,
        "_dispatch_to_lambda",
        "arn payload",
        lambda original: lambda arn, payload: _invoke_asynchronously(arn, payload),
    )


def _invoke_asynchronously(arn: str, payload: str) -> None:
    func, config, _name = lambda_svc._get_func_record_for_ref(arn)
    if func and config:
        lambda_svc.invoke_async_with_retry(
            lambda_svc._execution_record_for_config(func, config), json.loads(payload)
        )
