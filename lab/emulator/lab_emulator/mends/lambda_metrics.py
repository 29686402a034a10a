"""Every invocation counts in AWS/Lambda, whoever made it.

AWS: Invocations, Errors, Throttles and Duration count each run of the function.
ministack: only runs through the Invoke API count; a schedule's, a rule's or a
state machine's do not, so an alarm on Errors would stay silent.
"""

import time

from ministack.services import cloudwatch, lambda_svc

from .. import pin
from ..lab import Lab


def install(lab: Lab) -> None:
    pin.replace(
        lambda_svc,
        "_emit_lambda_metrics",
        "function_name duration_ms error throttle",
        lambda original: lambda function_name, duration_ms, error, throttle: None,
    )
    pin.expect(cloudwatch, "record_metric", "namespace metric_name value unit dimensions")
    pin.replace(lambda_svc, "_execute_function", "func event", _counted)


def _counted(original):
    def execute(func, event):
        config = func.get("config") or func
        if lambda_svc._function_config_scope_mismatch(config):
            return original(func, event)  # comes back here in the right scope
        started = time.time()
        result = original(func, event)
        _record(config.get("FunctionName", ""), result, (time.time() - started) * 1000)
        return result

    return execute


def _record(function: str, result: dict, milliseconds: float) -> None:
    dimensions = {"FunctionName": function}
    if result.get("throttle"):
        cloudwatch.record_metric("AWS/Lambda", "Throttles", 1, "Count", dimensions)
        return
    failed = 1 if result.get("error") else 0
    cloudwatch.record_metric("AWS/Lambda", "Throttles", 0, "Count", dimensions)
    cloudwatch.record_metric("AWS/Lambda", "Invocations", 1, "Count", dimensions)
    cloudwatch.record_metric("AWS/Lambda", "Errors", failed, "Count", dimensions)
    cloudwatch.record_metric("AWS/Lambda", "Duration", milliseconds, "Milliseconds", dimensions)
