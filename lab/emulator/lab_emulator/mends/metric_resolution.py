"""A metric has one-minute resolution unless it says otherwise.

AWS: a datum without StorageResolution 1 is kept per minute, so that an alarm
with a period of 10 or 30 s finds data once a minute only.
ministack: keeps every datum at its own second, and such an alarm would work
here and stay silent on AWS.
"""

import time

from ministack.services import cloudwatch

from .. import pin
from ..lab import Lab

_MINUTE = 60


def install(lab: Lab) -> None:
    pin.expect(cloudwatch, "_parse_ts", "value")
    pin.replace(cloudwatch, "_put_metric_data", "params cbor_data is_cbor is_json", _by_resolution)


def stored_at(timestamp: float, resolution) -> float:
    """The moment at which a datum of this StorageResolution (1, 60 or None) is kept."""
    return timestamp if resolution is not None and int(resolution) == 1 else timestamp // _MINUTE * _MINUTE


def _by_resolution(put):
    def wrapped(params, cbor_data, is_cbor, is_json=False):
        now = time.time()
        if is_cbor or is_json:
            data = [
                {**datum, "Timestamp": _moment(datum.get("Timestamp"), now, datum.get("StorageResolution"))}
                for datum in cbor_data.get("MetricData", [])
            ]
            cbor_data = {**cbor_data, "MetricData": data}
        else:
            params = dict(params)
            for name in [key for key in params if key.endswith(".MetricName")]:
                datum = name.removesuffix("MetricName")
                moment = _moment(
                    cloudwatch._p(params, f"{datum}Timestamp"),
                    now,
                    cloudwatch._p(params, f"{datum}StorageResolution") or None,
                )
                params[f"{datum}Timestamp"] = [str(moment)]
        return put(params, cbor_data, is_cbor, is_json)

    return wrapped


def _moment(given, now: float, resolution) -> float:
    return stored_at(cloudwatch._parse_ts(given) or now, resolution)
