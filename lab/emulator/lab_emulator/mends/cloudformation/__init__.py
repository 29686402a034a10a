"""CloudFormation deploys the templates unchanged.

AWS: knows every resource type and property, and refuses a reference to nothing.
ministack: refuses whole stacks for some types, drops some properties silently,
and passes an unresolved reference on as its name.
"""

from ...lab import Lab
from . import (
    alarm_types,
    bucket_properties,
    documents,
    function_properties,
    machine_properties,
    physical_names,
    references,
    route53_types,
    topic_properties,
)


_PARTS = (
    alarm_types,
    bucket_properties,
    documents,
    function_properties,
    machine_properties,
    physical_names,
    references,
    route53_types,
    topic_properties,
)


def install(lab: Lab) -> None:
    for part in _PARTS:
        part.install(lab)
