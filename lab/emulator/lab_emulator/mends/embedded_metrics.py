"""Log lines in the embedded metric format become metrics.

AWS: a line with `_aws.CloudWatchMetrics` yields metrics, as soon as it is ingested.
ministack: it is a log line. Here the line is read where the function's output
is, so that the metric exists even when the log drain comes late.
"""

import json
import logging
import time

from ministack.core import lambda_runtime
from ministack.core.responses import request_scope
from ministack.services import cloudwatch

from .. import pin
from ..lab import Lab
from .metric_resolution import stored_at

_log = logging.getLogger("lab.embedded_metrics")


def install(lab: Lab) -> None:
    pin.expect(cloudwatch, "_store_datum", "namespace name dims ts unit value values counts stat_values")
    pin.replace(
        lambda_runtime.ProvidedWorker,
        "_pump_output",
        "self stream log_queue",
        lambda original: lambda self, stream, log_queue: original(self, _Watched(stream, self.config), log_queue),
    )
    pin.replace(lambda_runtime.Worker, "_read_stderr", "self", lambda original: lambda self: _read_stderr(self))


def _read_stderr(worker) -> None:
    """The language workers' log pump, with an eye on metrics; ends with the process."""
    try:
        for line in worker._proc.stderr:
            record(worker.config, line)
            worker._stderr_queue.put(line.rstrip("\n"))
    except (ValueError, OSError, AttributeError):
        pass  # the pipe went away with its process


class _Watched:
    """A function's output stream; every line read through it is checked for metrics."""

    def __init__(self, stream, config: dict) -> None:
        self._stream = stream
        self._config = config

    def readline(self):
        line = self._stream.readline()
        record(self._config, line)
        return line

    def close(self) -> None:
        self._stream.close()


def record(config: dict, line) -> None:
    """Store the metrics of one output line of the function, if it has any."""
    marker = b'"CloudWatchMetrics"' if isinstance(line, bytes) else '"CloudWatchMetrics"'
    if marker not in line:
        return
    try:
        document = json.loads(line)
        account, region = lambda_runtime._account_region_from_function_config(config)
        with request_scope(account, region):
            for datum in data_of(document):
                cloudwatch._store_datum(*datum)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("embedded metrics of %s not understood: %s", config.get("FunctionName"), error)


def data_of(document: dict) -> list[tuple]:
    """The arguments of `_store_datum` for every metric and dimension set of an embedded-metric document."""
    found = []
    metadata = document["_aws"]
    at = float(metadata["Timestamp"]) / 1000 if "Timestamp" in metadata else time.time()
    for directive in metadata["CloudWatchMetrics"]:
        for dimension_set in directive.get("Dimensions") or [[]]:
            dimensions = {name: str(document[name]) for name in dimension_set}
            for metric in directive["Metrics"]:
                value = document[metric["Name"]]
                many = value if isinstance(value, list) else None
                found.append(
                    (
                        directive["Namespace"],
                        metric["Name"],
                        dimensions,
                        stored_at(at, metric.get("StorageResolution")),
                        metric.get("Unit", "None"),
                        None if many is not None else value,
                        many,
                        None,
                        None,
                    )
                )
    return found
