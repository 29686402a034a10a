"""A template as CloudFormation has it after its transforms, with examples for what is known only in AWS."""

import json
import re
from pathlib import Path

from cfnlint.decode import decode
from cfnlint.template import Template

PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    # Among the longest names of regions, because sizes are measured too.
    "AWS::Region": "ap-southeast-2",
    "AWS::StackName": "lifeboat",
    "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = object()
_HERE = "{AWS::Region}:{AWS::AccountId}"
# The ARN of a resource whose name is `{name}`.
_ARNS = {
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{_HERE}:alarm:{{name}}",
    "AWS::Events::Rule": f"arn:aws:events:{_HERE}:rule/{{name}}",
    "AWS::IAM::ManagedPolicy": "arn:aws:iam::{AWS::AccountId}:policy/{name}",
    "AWS::IAM::Role": "arn:aws:iam::{AWS::AccountId}:role/{name}",
    "AWS::KMS::Key": f"arn:aws:kms:{_HERE}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "AWS::Lambda::Function": f"arn:aws:lambda:{_HERE}:function:{{name}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{_HERE}:log-group:{{name}}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::SNS::Topic": f"arn:aws:sns:{_HERE}:{{name}}",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{_HERE}:stateMachine:{{name}}",
}
# Of these, `Ref` gives the ARN.
_REF_IS_ARN = ("AWS::IAM::ManagedPolicy", "AWS::SNS::Topic", "AWS::StepFunctions::StateMachine")
_NAMES = ("BucketName", "FunctionName", "LogGroupName", "Name", "RoleName", "StateMachineName", "TopicName", "AlarmName")


def transformed(path: str) -> tuple[dict, list[str]]:
    """The template after its transforms, and why they failed."""
    source, matches = decode(path)
    found = [f"{match.rule.id} {match.message}" for match in matches or []]
    if found:
        return {}, found
    template = Template(path, source, [PSEUDO["AWS::Region"]])
    found = [f"{match.rule.id} {match.message}" for match in template.transform() or []]
    # Without the marks of cfn-lint, which remember lines.
    return json.loads(json.dumps(template.template)), found


def worlds(source: dict):
    """The template with every condition true, and with every one false: each value is in one of them."""
    for every in (True, False):
        yield World(source, every)


class World:
    """The resources of a template under given conditions, with examples in the place of references."""

    def __init__(self, source: dict, conditions: bool):
        self.source, self.conditions = source, conditions
        self.resources = {
            name: self.value(resource)
            for name, resource in source.get("Resources", {}).items()
            if conditions or "Condition" not in resource
        }

    def of_type(self, *types: str):
        """`(logical name, properties)` of each resource of these types."""
        for name, resource in self.resources.items():
            if resource["Type"] in types:
                yield name, resource.get("Properties", {})

    def value(self, node):
        """The node without functions."""
        if isinstance(node, list):
            items = [self.value(item) for item in node]
            return [item for item in items if item is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._call(function.removeprefix("Fn::"), argument)
        values = {key: self.value(value) for key, value in node.items()}
        return {key: value for key, value in values.items() if value is not NO_VALUE}

    def _call(self, function: str, argument):
        if function == "Ref":
            return self._ref(argument)
        if function == "If":
            return self.value(argument[1 if self.conditions else 2])
        if function == "GetAtt":
            name, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
            return self._arn(name) if attribute == "Arn" else f"{name}.{attribute}"
        if function == "Sub":
            text, own = (argument, {}) if isinstance(argument, str) else argument
            return re.sub(r"\$\{([^}]*)\}", lambda match: self._named(match.group(1).strip(), own), text)
        if function == "Join":
            parts = self.value(argument[1])
            return self.value(argument[0]).join(str(part) for part in (parts if isinstance(parts, list) else [parts]))
        if function == "Split":
            return self.value(argument[1]).split(argument[0])
        if function == "Select":
            return self.value(argument[1])[int(argument[0])]
        # Its result is not looked into (an include, an import).
        return f"{function} of {json.dumps(argument)}"

    def _named(self, name: str, own: dict) -> str:
        if name.startswith("!"):
            return f"${{{name[1:]}}}"
        if name in own:
            return str(self.value(own[name]))
        if "." in name:
            return str(self._call("GetAtt", name))
        return str(self._ref(name))

    def _ref(self, name: str):
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        parameter = self.source.get("Parameters", {}).get(name)
        if parameter is not None:
            return self._parameter(name, parameter)
        resource = self.source.get("Resources", {}).get(name)
        if resource is None:
            return name
        return self._arn(name) if resource["Type"] in _REF_IS_ARN else self._physical(name, resource)

    def _parameter(self, name: str, parameter: dict):
        default = parameter.get("Default", "")
        listed = "List" in parameter["Type"]
        if default == "" and "hostedzone/" in parameter.get("AllowedPattern", ""):
            default = "arn:aws:route53:::hostedzone/Z0123456789ABCDEFGHIJ"
        elif default == "":
            default = PSEUDO["AWS::Region"] if name.endswith("Region") else f"{name.lower()}-example"
        return str(default).split(",") if listed else default

    def _physical(self, name: str, resource: dict) -> str:
        properties = resource.get("Properties", {})
        given = next((properties[key] for key in _NAMES if key in properties), None)
        # Long, as those that CloudFormation makes.
        return str(self.value(given)) if given else f"{PSEUDO['AWS::StackName']}-{name}-1A2B3C4D5E6F"

    def _arn(self, name: str) -> str:
        resource = self.source["Resources"][name]
        form = _ARNS.get(resource["Type"])
        if form is None:
            return f"arn of {name}"
        for pseudo, value in PSEUDO.items():
            form = form.replace(f"{{{pseudo}}}", value)
        return form.replace("{name}", self._physical(name, resource))


def text_of(path: str) -> bytes:
    """The file's bytes."""
    return Path(path).read_bytes()
