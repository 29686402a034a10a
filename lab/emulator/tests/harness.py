"""One emulator for the whole test run, and short ways to make what the tests need."""

import atexit
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError  # noqa: F401 (for the tests)

WRAP = Path(__file__).resolve().parents[1] / "wrap.py"
EAST, WEST = "us-east-1", "us-west-2"

# A function in any language speaks this API; the tests' functions are this
# program with another `handle`. An `Exception` with a `name` becomes the error.
_BOOTSTRAP = '''#!{python}
import http.client, json, os
class Named(Exception):
    def __init__(self, name, text=""):
        super().__init__(text); self.name = name
{handler}
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse()
    request_id = answer.getheader("Lambda-Runtime-Aws-Request-Id")
    event = json.loads(answer.read())
    try:
        path, body = "response", json.dumps(handle(event))
    except Named as error:
        path, body = "error", json.dumps(dict(errorType=error.name, errorMessage=str(error)))
    api.request("POST", "/2018-06-01/runtime/invocation/%s/%s" % (request_id, path), body)
    api.getresponse().read()
'''


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(*arguments: str, environment: dict | None = None, port: int | None = None):
    """Start an emulator; returns `(process, port)` once it is ready."""
    port = port or free_port()
    scratch = tempfile.mkdtemp(prefix="lab-emulator-test-")
    atexit.register(shutil.rmtree, scratch, True)
    process = subprocess.Popen(
        [sys.executable, str(WRAP), "--port", str(port), *arguments],
        env={**os.environ, "LIFEBOAT_LAB_EMULATOR_DIR": scratch, **(environment or {})},
    )
    wait_for(lambda: process.poll() is not None or _is_ready(port), 20, "the emulator to be ready")
    if process.poll() is not None:
        raise AssertionError(f"the emulator ended with status {process.returncode}")
    return process, port


def _is_ready(port: int) -> bool:
    try:
        return lab("GET", "health", port=port)["status"] == "ok"
    except OSError:
        return False


def wait_for(condition, seconds: float, what: str):
    """The first true answer of `condition`, asked until `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


class Shared:
    """The emulator that all tests share, started on first use."""

    port: int | None = None
    ssm_port: int | None = None
    redis_port: int | None = None


def redis_port() -> int:
    """Where a test may start the Redis that the replication group `queue` is."""
    Shared.redis_port = Shared.redis_port or free_port()
    return Shared.redis_port


def port() -> int:
    """The shared emulator's port."""
    if Shared.port is None:
        Shared.ssm_port, own = free_port(), free_port()
        environment = {
            "LIFEBOAT_LAB_SSM_URL": f"http://127.0.0.1:{Shared.ssm_port}",
            "LIFEBOAT_LAB_GATEWAYS": json.dumps({WEST: f"http://localhost:{own}"}),
            "LIFEBOAT_LAB_CACHES": json.dumps({EAST: {"queue": f"127.0.0.1:{redis_port()}", "gone": "127.0.0.1:1"}}),
            "LIFEBOAT_LAB_LOG": "CRITICAL",
            "A_HOST_SECRET": "s3cret",
        }
        process, Shared.port = start(environment=environment, port=own)
        atexit.register(process.wait)
        atexit.register(process.terminate)
    return Shared.port


def lab(method: str, path: str, body=None, port=None):
    """Call one of the emulator's own `/_lab/` paths."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port or globals()['port']()}/_lab/{path}",
        data=None if body is None else json.dumps(body).encode(),
        method=method,
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read())


def client(service: str, region: str = EAST, key: str = "test", secret: str = "test", token: str | None = None, **options):
    """A client of the shared emulator."""
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=f"http://127.0.0.1:{port()}",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=30, **options),
    )


ALL = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]


def role(name: str, statements: list | None = None) -> str:
    """A role that every service may assume; returns its ARN."""
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "*"}, "Action": "sts:AssumeRole"}]}
    iam = client("iam")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    if statements:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_role_policy(RoleName=name, PolicyName="test", PolicyDocument=document)
    return arn


def function(name: str, handler: str, region: str = EAST, role_arn: str | None = None, **options) -> str:
    """A function whose source defines `handle(event)`; returns its ARN."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, _BOOTSTRAP.format(python=sys.executable, handler=handler))
    return client("lambda", region).create_function(
        FunctionName=name,
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role=role_arn or role(f"function-{name}-{region}"),
        Code={"ZipFile": code.getvalue()},
        **{"Timeout": 10, **options},
    )["FunctionArn"]


def invoke(name: str, event=None, region: str = EAST):
    """The function's answer."""
    answer = client("lambda", region).invoke(FunctionName=name, Payload=json.dumps(event or {}))
    return json.loads(answer["Payload"].read())


def machine(name: str, definition: dict, region: str = EAST, role_arn: str | None = None) -> str:
    """A standard state machine; returns its ARN."""
    return client("stepfunctions", region).create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=role_arn or role(f"machine-{name}-{region}", ALL)
    )["stateMachineArn"]


def run(machine_arn: str, value=None, region: str = EAST, seconds: float = 20, **options) -> dict:
    """Start the machine and wait for its end; returns DescribeExecution's answer."""
    states = client("stepfunctions", region)
    arn = states.start_execution(stateMachineArn=machine_arn, input=json.dumps(value or {}), **options)["executionArn"]
    return finished(arn, region, seconds)


def finished(execution_arn: str, region: str = EAST, seconds: float = 20) -> dict:
    """The execution, once it is not running any more."""
    states = client("stepfunctions", region)

    def ended():
        execution = states.describe_execution(executionArn=execution_arn)
        return execution if execution["status"] != "RUNNING" else None

    return wait_for(ended, seconds, f"{execution_arn} to end")
