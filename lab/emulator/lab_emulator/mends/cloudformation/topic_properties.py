"""AWS::SNS::Topic: KmsMasterKeyId is kept."""

from ministack.services import sns

from ...lab import Lab
from . import registry


def install(lab: Lab) -> None:
    registry.after("AWS::SNS::Topic", _apply)


def _apply(arn, properties, old):
    attributes = sns._topics[arn]["attributes"]
    if properties.get("KmsMasterKeyId"):
        attributes["KmsMasterKeyId"] = properties["KmsMasterKeyId"]
    else:
        attributes.pop("KmsMasterKeyId", None)
