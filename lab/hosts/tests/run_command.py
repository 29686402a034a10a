"""What a caller sees of the lab's SSM: called by hosts.rs with the endpoint, the document, a
home, the instance id, and a file that gets each answer as it was, because boto3 skips what it does not know."""

import json
import pathlib
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, document, home, instance, kept = sys.argv[1:]
content = pathlib.Path(document).read_text()
home = pathlib.Path(home)


def keep(operation_model, response_dict, **_):
    answer = {"operation": operation_model.name, "status": response_dict["status_code"],
              "body": response_dict["body"].decode()}
    with open(kept, "a") as file:
        print(json.dumps(answer), file=file)


def client(region):
    made = boto3.client(
        "ssm", endpoint_url=endpoint, region_name=region, aws_access_key_id="test", aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 1}),
    )
    made.meta.events.register("before-parse.ssm", keep)
    return made


ssm = client("us-west-2")


def refused(code, call, **arguments):
    try:
        answer = call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        assert error.response["Error"]["Message"], error
        return
    raise AssertionError(f"{code} expected, got {answer}")


def wait(command):
    for _ in range(1000):
        answer = ssm.get_command_invocation(CommandId=command, InstanceId=instance)
        if answer["Status"] not in ("Pending", "InProgress"):
            return answer
        time.sleep(0.02)
    raise AssertionError(answer)


def control(expected="Success", **parameters):
    parameters = {"App": "queue", "Site": "b", **parameters}
    sent = ssm.send_command(
        DocumentName="arn:aws:ssm:us-west-2:000000000000:document/lifeboat-site-control",
        Targets=[{"Key": "tag:lifeboat:site", "Values": ["b"]}],
        Parameters={name: [value] for name, value in parameters.items()},
        TimeoutSeconds=30,
        CloudWatchOutputConfig={"CloudWatchLogGroupName": "/lifeboat/commands", "CloudWatchOutputEnabled": True},
    )["Command"]
    answer = wait(sent["CommandId"])
    assert answer["Status"] == expected, answer
    return answer["ResponseCode"], json.loads(answer["StandardOutputContent"].splitlines()[-1]), answer


# Documents.
name = "lifeboat-site-control"
created = ssm.create_document(Name=name, Content=content, DocumentType="Command", DocumentFormat="YAML")
assert created["DocumentDescription"]["Status"] == "Creating", created
again = dict(Name=name, Content=content, DocumentType="Command", DocumentFormat="YAML")
refused("DocumentAlreadyExists", ssm.create_document, **again)
refused("InvalidDocumentContent", ssm.create_document, **{**again, "Name": "other", "Content": "a: ["})
refused("InvalidDocumentSchemaVersion", ssm.create_document,
        **{**again, "Name": "other", "Content": content.replace("'2.2'", "'1.0'")})
refused("DuplicateDocumentContent", ssm.update_document,
        Name=name, Content=content, DocumentFormat="YAML", DocumentVersion="$LATEST")
changed = ssm.update_document(Name=name, Content=content + "\n# 2\n", DocumentFormat="YAML", DocumentVersion="$LATEST")
assert changed["DocumentDescription"]["DocumentVersion"] == "2", changed
assert ssm.get_document(Name=name)["Content"] == content
ssm.update_document_default_version(Name=name, DocumentVersion="2")
assert ssm.get_document(Name=name)["Content"] != content
assert json.loads(ssm.get_document(Name=name, DocumentFormat="JSON")["Content"])["schemaVersion"] == "2.2"
described = ssm.describe_document(Name=name)["Document"]
assert described["Status"] == "Active" and described["DefaultVersion"] == "2", described
assert {"Name": "DatabasePort", "Type": "String", "DefaultValue": "5432"}.items() <= {
    k: v for p in described["Parameters"] if p["Name"] == "DatabasePort" for k, v in p.items()}.items()
listed = ssm.list_documents(Filters=[{"Key": "Owner", "Values": ["Self"]}])["DocumentIdentifiers"]
assert [document["Name"] for document in listed] == [name], listed
refused("InvalidDocument", client("us-east-1").describe_document, Name=name)
refused("InvalidDocumentVersion", ssm.get_document, Name=name, DocumentVersion="9")

# What SendCommand refuses.
good = dict(DocumentName=name, InstanceIds=[instance],
            Parameters={"Action": ["status"], "App": ["queue"], "Site": ["b"]})
refused("InvalidDocument", ssm.send_command, **{**good, "DocumentName": "no-such-document"})
refused("InvalidDocumentVersion", ssm.send_command, **{**good, "DocumentVersion": "9"})
refused("InvalidInstanceId", ssm.send_command, **{**good, "InstanceIds": ["i-00000000000000009"]})
refused("DuplicateInstanceId", ssm.send_command, **{**good, "InstanceIds": [instance, instance]})
refused("ValidationException", ssm.send_command, DocumentName=name)
for bad in ({"Action": ["explode"]}, {"App": ["Queue"]}, {"App": ["a;id"]}, {"Epoch": ["01"]}, {"Epoch": ["-1"]},
            {"DatabaseHost": ["$(id)"]}, {"DatabaseName": ["a b"]}, {"Colour": ["red"]}, {"Site": ["a", "b"]}):
    refused("InvalidParameters", ssm.send_command, **{**good, "Parameters": {**good["Parameters"], **bad}})
refused("InvalidParameters", ssm.send_command, **{**good, "Parameters": {"Action": ["status"]}})
refused("MaxDocumentSizeExceeded", ssm.send_command,
        **{**good, "Parameters": {**good["Parameters"], "DatabaseHost": ["h" * (64 * 1024 - len(content))]}})
refused("InvocationDoesNotExist", ssm.get_command_invocation,
        CommandId="00000000-0000-4000-8000-000000000000", InstanceId=instance)

# The document runs, twice for each action.
database = dict(DatabaseHost="127.0.2.20", DatabasePort="5432", DatabaseName="queue")
site_json = home / "queue" / "site.json"
code, line, _ = control(Action="status")
assert line["epoch"] == 0 and line["seen_epoch"] is None and line["site_json"] is None and line["service"] == "stopped", line
for changed in (True, False):
    code, line, whole = control(Action="activate", Epoch="7", **database)
    assert (code, line["outcome"], line["hook"], line["changed"]) == (0, "done", 0, changed), whole
    assert json.loads(site_json.read_text()) == {
        "app": "queue", "site": "b", "epoch": 7, "role": "active",
        "database": {"host": "127.0.2.20", "port": 5432, "name": "queue"}}
code, line, _ = control(Action="status")
assert line["service"] == "running" and line["site_json"]["epoch"] == 7 and line["role"] == "active", line
before = site_json.read_text()
for action in ("activate", "deactivate", "fence", "restart"):
    code, line, whole = control("Failed", Action=action, Epoch="6", **database)
    assert (code, line["outcome"], line["role"], line["seen_epoch"]) == (3, "stale_epoch", "active", 7), whole
    assert "stale epoch" in whole["StandardErrorContent"], whole
assert site_json.read_text() == before
code, line, whole = control("Failed", Action="fence", Epoch="8", Site="a")
assert (code, line["outcome"]) == (5, "wrong_site"), whole
code, line, whole = control("Failed", Action="activate", Epoch="8")
assert (code, line) == (2, {"outcome": "invalid", "parameter": "DatabaseHost"}), whole
code, line, whole = control(Action="restart", Epoch="7")
assert line["outcome"] == "done", whole
for changed in (True, False):
    code, line, whole = control(Action="fence", Epoch="8")
    assert (line["role"], line["epoch"], line["changed"]) == ("standby", 8, changed), whole
    assert json.loads(site_json.read_text())["database"]["host"] == "127.0.2.20"
code, line, _ = control(Action="status")
assert line["service"] == "stopped" and line["role"] == "standby" and line["epoch"] == 8, line

# A file that somebody wrote in another form counts the same.
site_json.write_text(json.dumps(json.loads(site_json.read_text()), separators=(",", ":")))
code, line, whole = control("Failed", Action="restart", Epoch="7")
assert (code, line["seen_epoch"]) == (3, 8), whole
code, line, whole = control(Action="fence", Epoch="8")
assert line["changed"] and json.loads(site_json.read_text())["database"]["host"] == "127.0.2.20", whole

# A hook that fails is named, and the role is written first.
stop = home / "queue" / "hooks" / "stop"
text = stop.read_text()
stop.write_text("#!/bin/sh\necho cannot >&2\nexit 9\n")
code, line, whole = control("Failed", Action="deactivate", Epoch="9")
assert (code, line["outcome"], line["hook"], line["role"]) == (4, "hook_failed", 9, "standby"), whole
assert "cannot" in whole["StandardErrorContent"], whole
stop.write_text(text)
site_json.write_text("garbage")
code, line, whole = control("Failed", Action="activate", Epoch="9", **database)
assert (code, line["outcome"]) == (6, "unreadable"), whole
site_json.unlink()

# Two at the same time: whichever order they run in, the newer epoch stands.
for epoch in range(10, 14):
    sent = [
        ssm.send_command(DocumentName=name, InstanceIds=[instance], Parameters={
            "Action": [action], "App": ["queue"], "Site": ["b"], "Epoch": [str(number)],
            "DatabaseHost": ["127.0.2.20"], "DatabaseName": ["queue"]})["Command"]["CommandId"]
        for action, number in (("fence", epoch + 1), ("activate", epoch))
    ]
    outcomes = [json.loads(wait(command)["StandardOutputContent"])["outcome"] for command in sent]
    assert outcomes[0] == "done" and outcomes[1] in ("done", "stale_epoch"), outcomes
    site = json.loads(site_json.read_text())
    assert (site["epoch"], site["role"]) == (epoch + 1, "standby"), site
site_json.unlink()

# Both ways of interpolation, output limits, cancel, timeout.
script = {
    "schemaVersion": "2.2",
    "parameters": {
        "Text": {"type": "String", "default": "hello"},
        "Variable": {"type": "String", "interpolationType": "ENV_VAR", "default": "$(touch /tmp/never)`id`\";'"},
        "Seconds": {"type": "Integer", "default": 30},
        "Lines": {"type": "StringList", "default": []},
    },
    "mainSteps": [{"action": "aws:runShellScript", "name": "run", "inputs": {
        "timeoutSeconds": "{{ Seconds }}",
        "runCommand": ["echo '{{ Text }}' \"$SSM_Variable\" $AWS_SSM_INSTANCE_ID $AWS_SSM_REGION_NAME $PWD $HOME",
                       "env | grep -c '^AWS_ACCESS' ", "{{ Lines }}"]}}],
}
ssm.create_document(Name="script", Content=json.dumps(script), DocumentType="Command")


def run(lines=(), **parameters):
    parameters = {name: [value] for name, value in parameters.items()}
    return ssm.send_command(DocumentName="script", InstanceIds=[instance],
                            Parameters={**parameters, "Lines": list(lines)})["Command"]["CommandId"]


answer = wait(run(["exit 0"], Text="bye"))
assert answer["StandardOutputContent"] == f"bye $(touch /tmp/never)`id`\";' {instance} us-west-2 {home} {home}\n0\n", answer
answer = wait(run(["head -c 30000 /dev/zero | tr '\\0' x; head -c 9000 /dev/zero | tr '\\0' y >&2; exit 5"]))
assert (answer["Status"], answer["ResponseCode"]) == ("Failed", 5), answer
assert len(answer["StandardOutputContent"]) == 24000 and len(answer["StandardErrorContent"]) == 8000
answer = wait(run(["sleep 60"], Seconds="1"))
assert (answer["Status"], answer["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut"), answer
command = run(["sleep 60"])
while ssm.get_command_invocation(CommandId=command, InstanceId=instance)["Status"] != "InProgress":
    time.sleep(0.01)
ssm.cancel_command(CommandId=command)
assert wait(command)["Status"] == "Cancelled"
invocations = ssm.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"]
assert invocations[0]["CommandPlugins"][0]["Status"] == "Cancelled", invocations
assert ssm.list_commands(CommandId=command)["Commands"][0]["Status"] == "Cancelled"
pages = ssm.get_paginator("list_commands").paginate(PaginationConfig={"PageSize": 5})
total = sum(len(page["Commands"]) for page in pages)
assert total > 20, total
sent = ssm.send_command(DocumentName="script", Targets=[{"Key": "tag:lifeboat:site", "Values": ["none"]}])["Command"]
assert (sent["Status"], sent["StatusDetails"], sent["TargetCount"]) == ("Success", "NoInstancesInTag", 0), sent

information = ssm.describe_instance_information(Filters=[{"Key": "tag:lifeboat:site", "Values": ["b"]}])
assert [i["PingStatus"] for i in information["InstanceInformationList"]] == ["Online"], information
assert client("us-east-1").describe_instance_information()["InstanceInformationList"] == []
ssm.delete_document(Name="script")
refused("InvalidDocument", ssm.delete_document, Name="script")
print("all of Run Command holds")

# What backups ask for: one online host by its tag, a document with a time limit of its own, long answers, and
# several commands at once.
found = ssm.describe_instance_information(
    Filters=[{"Key": "tag:lifeboat:site", "Values": ["b"]}, {"Key": "PingStatus", "Values": ["Online"]}], MaxResults=50
)["InstanceInformationList"]
assert [host["InstanceId"] for host in found] == [instance], found
assert found[0]["PingStatus"] == "Online", found
for wrong in ({"Key": "tag:lifeboat:site", "Values": ["c"]}, {"Key": "PingStatus", "Values": ["ConnectionLost"]}):
    assert not ssm.describe_instance_information(Filters=[wrong])["InstanceInformationList"], wrong

LONG = """
schemaVersion: '2.2'
description: says much
parameters:
  Characters: {type: String, default: '10', allowedPattern: '^[0-9]{1,6}$', interpolationType: ENV_VAR}
  Seconds: {type: String, default: '0', allowedPattern: '^[0-9.]{1,4}$', interpolationType: ENV_VAR}
  ExecutionTimeout: {type: String, default: '3600', allowedPattern: '^[0-9]{1,5}$'}
mainSteps:
  - action: aws:runShellScript
    name: say
    inputs:
      timeoutSeconds: '{{ ExecutionTimeout }}'
      runCommand:
        - head -c "$SSM_Characters" /dev/zero | tr '\\0' x
        - sleep "$SSM_Seconds"
"""
ssm.create_document(Name="long", Content=LONG, DocumentType="Command", DocumentFormat="YAML")


def begin(**parameters):
    parameters = {name: [value] for name, value in parameters.items()}
    sent = ssm.send_command(DocumentName="long", InstanceIds=[instance], Parameters=parameters, TimeoutSeconds=30)
    return sent["Command"]["CommandId"]


for given, shown in ((24000, 24000), (23999, 23999), (30000, 24000)):
    output = wait(begin(Characters=str(given)))["StandardOutputContent"]
    assert len(output) == shown, (given, len(output))
start = time.monotonic()
answers = [wait(command) for command in [begin(Seconds="1.5") for _ in range(4)]]
assert time.monotonic() - start < 5, "they ran one after another"
assert [answer["Status"] for answer in answers] == ["Success"] * 4, answers
late = wait(begin(Seconds="30", ExecutionTimeout="1"))
assert (late["Status"], late["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut"), late
