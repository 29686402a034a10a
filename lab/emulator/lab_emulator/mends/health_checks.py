"""Route 53 health checks that every SDK can read, and cannot overwrite blindly.

AWS: booleans are `true` and `false`; a calculated check lists its children; an
update that names an old HealthCheckVersion is refused.
ministack: writes `True`, which aws-sdk-rust cannot decode; loses the children
and the checker regions; accepts any version.
"""

from ministack.services import route53

from .. import pin
from ..lab import Lab


def install(lab: Lab) -> None:
    pin.replace(route53, "_build_health_check_el", "parent hc", _with_xml_booleans)
    pin.replace(route53, "_parse_health_check_config", "el", _with_lists)
    pin.replace(route53, "_update_health_check", "hc_id body", _with_version_check)


def _with_xml_booleans(build):
    def wrapped(parent, record):
        result = build(parent, record)
        for element in parent.iter():
            if element.text in ("True", "False"):
                element.text = element.text.lower()
        return result

    return wrapped


def _with_lists(parse):
    def wrapped(element):
        config = parse(element)
        for name, item in (("ChildHealthChecks", "ChildHealthCheck"), ("Regions", "Region")):
            if name in config:
                config[name] = [child.text for child in route53._findall(route53._find(element, name), item)]
        return config

    return wrapped


def _with_version_check(update):
    def wrapped(check_id, body):
        root = route53._parse_body(body)
        named = route53._text(root, "HealthCheckVersion") if root is not None else ""
        check = route53._health_checks.get(check_id)
        if named and check and int(named) != check.get("version", 1):
            return route53._error_response(
                "HealthCheckVersionMismatch",
                f"The value of HealthCheckVersion in the request doesn't match the value in the health check: {named}.",
                409,
            )
        return update(check_id, body)

    return wrapped
