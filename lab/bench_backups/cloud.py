"""The lab's AWS without its sites: the emulator, the gateway that counts calls, and functions as Lambda runs them."""

import contextlib
import http.server
import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import boto3

from measure import Missed, program
from server import free_port

APP, SITE, REGION, PEER = "queue", "a", "us-east-1", "us-west-2"
ACCOUNT = "000000000000"
# What a call may take; the slowest here completes an upload of a few hundred megabytes.
PATIENCE = 60


class Cloud:
    """A running emulator and gateway."""

    def __init__(self, emulator: str, gateways: dict, admin: str) -> None:
        self.emulator, self.gateways, self._admin = emulator, gateways, admin

    def environment(self, endpoint: str | None = None) -> dict:
        """For a program in the region; without an endpoint its calls are counted by the gateway."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": endpoint or self.gateways[REGION],
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str, region: str = REGION, counted: bool = False):
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.gateways[region] if counted else self.emulator,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def calls(self, since: int = 0) -> list:
        """What passed the gateway after this number."""
        return ask(f"{self._admin}/calls?since={since}")

    def last_call(self) -> int:
        return ask(f"{self._admin}/health")["last_seq"]

    def plant(self, bucket: str, objects: dict) -> None:
        """Many small objects; see lab/emulator/lab_emulator/objects.py."""
        keys = list(objects)
        for start in range(0, len(keys), 5000):
            part = {key: objects[key] for key in keys[start : start + 5000]}
            ask(f"{self.emulator}/_lab/objects", {"bucket": bucket, "objects": part})

    def bucket(self, name: str, versions: bool = False) -> str:
        s3 = self.client("s3")
        s3.create_bucket(Bucket=name)
        if versions:
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name


def ask(url: str, body: dict | None = None):
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read())


@contextlib.contextmanager
def cloud(options, home: Path):
    """The emulator with the gateway before it; both ended whatever happens."""
    port, ports, admin = free_port(), {REGION: free_port(), PEER: free_port()}, free_port()
    address = f"127.0.0.1:{port}"
    log = home / "emulator.log"
    with open(log, "wb") as file, contextlib.ExitStack() as stack:
        emulator = subprocess.Popen(
            [sys.executable, "lab/emulator/wrap.py", "--port", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=file,
            env={**os.environ, "LIFEBOAT_LAB_EMULATOR_DIR": str((home / "emulator").resolve())},
        )
        stack.callback(ended, emulator)
        until = time.monotonic() + PATIENCE
        while not is_ready(f"http://{address}/_lab/health"):
            if emulator.poll() is not None or time.monotonic() > until:
                raise Missed(f"the emulator did not start: {log.read_text().strip()}")
            time.sleep(0.1)
        # RDS is asked too; its lab needs a whole site, and what is asked here is answered by the emulator.
        upstreams = dict.fromkeys(("emulator", "rds", "ssm", "dns_status"), address)
        callers = [{"caller": region, "listen": f"127.0.0.1:{own}"} for region, own in ports.items()]
        config = home / "gateway.json"
        config.write_text(
            json.dumps({"callers": callers, "admin": f"127.0.0.1:{admin}", "upstreams": upstreams, "call_capacity": 500_000})
        )
        gateway = subprocess.Popen(
            [program(options.bin / "examples/gateway"), config], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        stack.callback(ended, gateway)
        if not gateway.stdout.readline():
            raise Missed("the gateway did not start: its line above says why")
        gateways = {region: f"http://127.0.0.1:{own}" for region, own in ports.items()}
        yield Cloud(f"http://{address}", gateways, f"http://127.0.0.1:{admin}")


def ended(process: subprocess.Popen) -> None:
    process.terminate()
    process.wait()


def is_ready(url: str) -> bool:
    try:
        return ask(url)["status"] == "ok"
    except OSError:
        return False


def apply_plan(options, cloud: Cloud, home: Path, database_port: int) -> None:
    """The example's plan, for the bench's own server, applied as an operator does."""
    text = Path("events/plan/queue.toml").read_text()
    for old, new in (
        ('host = "127.0.1.20"', f'host = "127.0.0.1"\nport = {database_port}'),
        ('name = "queue"\nuser = "lifeboat"', 'name = "bench"\nuser = "postgres"'),
    ):
        if old not in text:
            raise Missed(f"events/plan/queue.toml has no {old!r} any more: mend {__file__}")
        text = text.replace(old, new)
    file = home / "plan.toml"
    file.write_text(text)
    role = cloud.client("iam").create_role(RoleName="bench", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    for region in (REGION, PEER):
        cloud.client("s3", region).create_bucket(
            Bucket=f"lifeboat-ledger-{ACCOUNT}-{region}",
            **({} if region == REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}),
        )
        # The alarms of the plan name it; nothing starts it here.
        cloud.client("stepfunctions", region).create_state_machine(
            name="lifeboat-recover",
            roleArn=role,
            definition=json.dumps({"StartAt": "Nothing", "States": {"Nothing": {"Type": "Succeed"}}}),
        )
        cloud.client("ssm", region).put_parameter(
            Name=f"/lifeboat/secrets/{APP}/database", Value="trusted", Type="SecureString"
        )
    lifeboat = program(options.bin / "lifeboat")
    done = subprocess.run(
        [lifeboat, "plan", "apply", file], env=cloud.environment(cloud.emulator), capture_output=True, text=True
    )
    if done.returncode != 0:
        raise Missed(f"lifeboat plan apply: {done.stderr.strip()}")


class _RuntimeApi(http.server.BaseHTTPRequestHandler):
    """The part of Lambda's runtime API that a function speaks (Lambda developer guide, "Runtime API")."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        event = self.server.events.get()
        if event is None:
            self.close_connection = True
            return
        body = json.dumps(event).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 600) * 1000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:bench")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.answers.put((self.path.endswith("/response"), body))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def function(path: Path, environment: dict, log: Path):
    """A function as Lambda runs it; yields what invokes it."""
    api = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _RuntimeApi)
    api.daemon_threads = True
    api.events, api.answers = queue.Queue(), queue.Queue()
    threading.Thread(target=api.serve_forever, daemon=True).start()
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [program(path)],
            stdout=file,
            stderr=file,
            env={
                **environment,
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}",
                "AWS_LAMBDA_FUNCTION_NAME": path.name,
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_LOG_GROUP_NAME": "bench",
                "AWS_LAMBDA_LOG_STREAM_NAME": "bench",
            },
        )

    def invoke(event: dict) -> dict:
        api.events.put(event)
        while True:
            try:
                sound, body = api.answers.get(timeout=0.2)
                break
            except queue.Empty:
                if process.poll() is not None:
                    raise Missed(f"{path.name} ended with {process.returncode}: {log.read_text().strip()}") from None
        if not sound:
            raise Missed(f"{path.name} {event}: {body.decode(errors='replace')}")
        return json.loads(body)

    try:
        yield invoke
    finally:
        ended(process)
        api.events.put(None)
        api.shutdown()
        api.server_close()
