"""A PostgreSQL of the bench's own, with about 1 GB in it."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from measure import Missed, say

# The promises are about pgbench's tables and one with jsonb, half of the bytes each; that for two cores is about
# several large tables, which are the same rows in PARTS of them.
SCALE = 50
JSON_ROWS = 1_680_000
PARTS = 4


@dataclass(frozen=True)
class Server:
    """A running server; its databases are `bench` and, once asked for, `several`."""

    bin: Path
    data: Path
    port: int
    sockets: Path
    environment: dict

    def sql(self, statement: str, database: str = "bench") -> str:
        command = [self.bin / "psql", "-Atqc", statement, database]
        return subprocess.check_output(command, env=self.environment, text=True).strip()

    def dump(self, to: Path, *options: str, database: str = "bench") -> Path:
        command = [self.bin / "pg_dump", "--format=custom", *options, "--file", to, database]
        subprocess.run(command, env=self.environment, check=True)
        return to


def tools() -> Path:
    """The newest PostgreSQL's programs; Debian keeps them off the PATH."""
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    if not found:
        raise Missed("PostgreSQL is missing: run `make setup`")
    return max(found, key=lambda path: int(path.parent.name))


def unprivileged() -> list:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]


def given_away(folder: Path) -> Path:
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def postgres(home: Path):
    """The server; ended, by its process id, whatever happens."""
    bin, data, port = tools(), (home / "data").resolve(), free_port()
    given_away(home)
    # A socket's path may not be long, and this folder's may be.
    sockets = given_away(Path(tempfile.mkdtemp(prefix="bench-")))
    initdb = [bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
    subprocess.run([*unprivileged(), *initdb], check=True, stdout=subprocess.DEVNULL)
    settings = {
        "port": port, "unix_socket_directories": sockets, "listen_addresses": "127.0.0.1", "fsync": "off",
        "shared_buffers": "256MB", "max_wal_size": "4GB", "wal_level": "replica", "autovacuum": "off",
    }
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with open(home / "postgres.log", "wb") as log:
        process = subprocess.Popen([*unprivileged(), bin / "postgres", "-D", data, *words], stdout=log, stderr=log)
    try:
        environment = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres"}
        while subprocess.run([bin / "pg_isready", "-q"], env=environment).returncode != 0:
            if process.poll() is not None:
                raise Missed(f"PostgreSQL did not start: {(home / 'postgres.log').read_text()}")
            time.sleep(0.1)
        server = Server(bin, data, port, sockets, environment)
        fill(server)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        shutil.rmtree(sockets, ignore_errors=True)


def fill(server: Server) -> None:
    print("== a database of about 1 GB", flush=True)
    pgbench(server, "bench")
    tickets(server, "bench", "tickets", 1, JSON_ROWS)
    server.sql("CREATE TABLE few AS SELECT * FROM tickets LIMIT 3000")
    server.sql("CHECKPOINT")
    size = int(server.sql("SELECT pg_database_size('bench')"))
    say(f"{size / 1e9:.2f} GB in the server, {JSON_ROWS:,} rows with jsonb and pgbench's own")


def several(server: Server) -> str:
    """The name of a database with the rows of `bench` in several large tables."""
    pgbench(server, "several", f"--partitions={PARTS}")
    share = JSON_ROWS // PARTS
    for part in range(PARTS):
        tickets(server, "several", f"tickets_{part}", 1 + part * share, share)
    return "several"


def pgbench(server: Server, database: str, *options: str) -> None:
    subprocess.run([server.bin / "createdb", database], env=server.environment, check=True)
    command = [server.bin / "pgbench", "-i", "-q", "-s", str(SCALE), *options, database]
    subprocess.run(command, env=server.environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tickets(server: Server, database: str, table: str, first: int, rows: int) -> None:
    server.sql(
        f"""CREATE TABLE {table} AS SELECT i AS id, md5(i::text) AS token,
        jsonb_build_object('queue', 'q' || i % 97, 'position', i % 5000, 'name', 'visitor ' || i % 40000,
          'state', (ARRAY['waiting','called','served','left'])[1 + i % 4], 'channel', 'web',
          'notes', repeat('follow up ', i % 9), 'at', timestamp '2026-01-01' + i * interval '1 second') AS body
        FROM generate_series({first}, {first + rows - 1}) i""",
        database,
    )
