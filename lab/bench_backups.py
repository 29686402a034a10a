"""Backups against their peers, side by side in one run: reading a dump, taking one, keeping the right ones.

    python lab/bench_backups.py --lifeboat target/release/lifeboat [--runs 5] [--scale 24] [--only read take keep plan]

It makes a database of about 1 GB (pgbench and three tables with jsonb) in a PostgreSQL of its own under
target/bench, and ends everything that it started. A figure is the median of the runs, with the least and the
greatest. The summary goes to target/drill/bench-backups.json. It fails when a target is missed.
"""

import argparse
import contextlib
import hashlib
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

HOME = Path("target/bench")
# Rows of each table with jsonb: with pgbench at scale 24, about 1 GB as COPY text.
JSON_ROWS = 700_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lifeboat", type=Path, required=True, help="a release build of the command")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scale", type=int, default=24, help="pgbench's scale")
    parser.add_argument("--only", nargs="+", default=list(BENCHES), choices=list(BENCHES))
    parser.add_argument("--inflate", type=Path, help="the example `inflate` of lifeboat-archive, for the floor")
    options = parser.parse_args()
    options.lifeboat = options.lifeboat.resolve()
    HOME.mkdir(parents=True, exist_ok=True)
    os.chmod(HOME, 0o755)
    summary, missed = {}, []
    with contextlib.ExitStack() as stack:
        server = None
        for name in options.only:
            needs_server, bench = BENCHES[name]
            if needs_server and server is None:
                server = stack.enter_context(postgres(options.scale))
            print(f"\n== {name}", flush=True)
            figures = bench(options, server)
            summary[name] = figures
            for line, met in figures.get("targets", {}).items():
                print(f"  {'✓' if met else '✗'} {line}", flush=True)
                if not met:
                    missed.append(line)
    out = Path("target/drill/bench-backups.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(summary, indent=2) + "\n")
    print(f"\nthe summary: {out}")
    if missed:
        print("missed: " + "; ".join(missed), file=sys.stderr)
    return 1 if missed else 0


# ---------------------------------------------------------------- programs and their times


def tools() -> Path:
    """The newest PostgreSQL's programs; Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        sys.exit("PostgreSQL is missing: run `make setup`")
    return found[-1]


def timed(command: list, cores: str | None = None, **more) -> float:
    """Seconds of a command that must succeed, on these cores."""
    if cores:
        command = ["taskset", "-c", cores, *command]
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)
    took = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.decode().strip()}")
    return took


def paired(runs: int, ours: list, theirs: list, cores: str) -> dict:
    """Both commands in turn, so that what disturbs one disturbs the other."""
    mine, peer = [], []
    for _ in range(runs):
        peer.append(timed(theirs, cores))
        mine.append(timed(ours, cores))
    return {"ours": spread(mine), "peer": spread(peer), "ratio": round(statistics.median(peer) / statistics.median(mine), 2)}


def spread(values: list) -> dict:
    return {"median": round(statistics.median(values), 3), "least": round(min(values), 3), "greatest": round(max(values), 3)}


def told(figures: dict) -> str:
    return f"{figures['median']} s ({figures['least']} to {figures['greatest']})"


def peak_mib(command: list) -> float:
    """The most memory that a command held, in MiB."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 1):
        sys.exit(f"{' '.join(map(str, command))} ended with {child.returncode}")
    return usage.ru_maxrss / 1024


# ---------------------------------------------------------------- a server of its own


def unprivileged() -> list:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]


@contextlib.contextmanager
def postgres(scale: int):
    """A server with about 1 GB in it; ended, by its process id, whatever happens."""
    bin, data = tools(), HOME / "data"
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    if os.geteuid() == 0:
        shutil.chown(HOME, "nobody")
    # A socket's path may not be long, and this folder's may be.
    sockets = Path(subprocess.check_output(["mktemp", "-d"]).decode().strip())
    if os.geteuid() == 0:
        shutil.chown(sockets, "nobody")
    data = data.resolve()
    subprocess.run([*unprivileged(), bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"],
                   check=True, stdout=subprocess.DEVNULL)
    port = free_port()
    settings = [f"port={port}", f"unix_socket_directories={sockets}", "listen_addresses=127.0.0.1", "fsync=off",
                "shared_buffers=256MB", "max_wal_size=4GB", "wal_level=replica", "max_wal_senders=4", "autovacuum=off"]
    log = open(HOME / "postgres.log", "wb")
    server = subprocess.Popen(
        [*unprivileged(), bin / "postgres", "-D", data, *(part for setting in settings for part in ("-c", setting))],
        stdout=log, stderr=log)
    try:
        environment = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres"}
        while subprocess.run([bin / "pg_isready", "-q"], env=environment).returncode != 0:
            if server.poll() is not None:
                sys.exit(f"PostgreSQL did not start: see {HOME}/postgres.log")
            time.sleep(0.1)
        fill(bin, environment, scale)
        yield {"bin": bin, "env": environment, "data": data, "port": port, "sockets": sockets}
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
        log.close()
        shutil.rmtree(sockets, ignore_errors=True)
        shutil.rmtree(HOME, ignore_errors=True)


def fill(bin: Path, environment: dict, scale: int) -> None:
    print("== a database of about 1 GB", flush=True)
    subprocess.run([bin / "createdb", "bench"], env=environment, check=True)
    subprocess.run([bin / "pgbench", "-i", "-q", "-s", str(scale), "bench"], env=environment, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for table in ("tickets", "visits", "events"):
        sql = f"""CREATE TABLE {table} AS SELECT i AS id, md5(i::text || '{table}') AS token,
            jsonb_build_object('queue', 'q' || i % 97, 'position', i % 5000, 'name', 'visitor ' || i % 40000,
              'state', (ARRAY['waiting','called','served','left'])[1 + i % 4], 'channel', 'web', 'notes', repeat('follow up ', i % 9),
              'at', timestamp '2026-01-01' + i * interval '1 second') AS body
            FROM generate_series(1, {JSON_ROWS}) i"""
        subprocess.run([bin / "psql", "-q", "-d", "bench", "-c", sql], env=environment, check=True)
    size = subprocess.check_output([bin / "psql", "-Atqc", "SELECT pg_database_size('bench')", "bench"], env=environment)
    print(f"  {int(size) / 1e9:.2f} GB in the server", flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---------------------------------------------------------------- reading a dump


def read(options, server) -> dict:
    """`lifeboat verify` against `pg_restore -f /dev/null`, with the SHA-256 of the file on our side only."""
    bin, environment = server["bin"], server["env"]
    dump = HOME / "bench.dump"
    subprocess.run([bin / "pg_dump", "-Fc", "-Z6", "-f", dump, "bench"], env=environment, check=True)
    size = dump.stat().st_size
    dump.read_bytes()  # into the page cache, for both
    ours = [options.lifeboat, "verify", dump]
    theirs = [bin / "pg_restore", "-f", "/dev/null", dump]
    figures = {"stored_mb": round(size / 1e6, 1)}
    figures["one_core"] = paired(options.runs, [*ours, "--threads", "1"], theirs, "0")
    figures["two_cores"] = paired(options.runs, [*ours, "--threads", "2"], theirs, "0,1")
    print(f"  {size / 1e6:.0f} MB stored; one core {told(figures['one_core']['ours'])}, pg_restore {told(figures['one_core']['peer'])}; "
          f"two cores {told(figures['two_cores']['ours'])}", flush=True)
    one, two = figures["one_core"]["ratio"], figures["two_cores"]["ratio"]
    targets = {f"{one} times as fast as pg_restore on one core (2)": one >= 2,
               f"{two} times as fast on two cores (3.5)": two >= 3.5}
    if options.inflate:
        floor = paired(options.runs, [*ours, "--threads", "1"], [options.inflate.resolve(), dump], "0")
        figures["inflate_only"] = floor
        share = round(floor["peer"]["median"] / floor["ours"]["median"], 2)
        targets[f"{share} of the speed of inflating alone (0.8)"] = share >= 0.8
    base = peak_mib([options.lifeboat, "--version"])
    small = HOME / "small.dump"
    subprocess.run([bin / "pg_dump", "-Fc", "-Z6", "-t", "tickets", "-f", small, "bench"], env=environment, check=True)
    packed = HOME / "bench.dump.zst"
    subprocess.run(f"'{bin}/pg_dump' -Fc -Z0 bench | zstd -q -3 -T2 -o '{packed}'", shell=True, env=environment, check=True)
    memory = {path.name: round(peak_mib([options.lifeboat, "verify", path]) - base, 1) for path in (small, dump, packed)}
    figures["memory_mib_beyond_the_program"] = memory
    print(f"  memory beyond the program: {memory}", flush=True)
    targets[f"at most 64 MiB whatever the size ({max(memory.values())})"] = max(memory.values()) <= 64
    figures["damage"] = damage(options, {"gzip": dump, "zstd around an uncompressed dump": packed})
    for name, found in figures["damage"].items():
        targets[f"{name}: {found['flips_found']} of {found['flips']} flips, {found['cuts_found']} of {found['cuts']} cuts found"] = (
            found["flips_found"] == found["flips"] and found["cuts_found"] == found["cuts"])
    figures["targets"] = targets
    return figures


def damage(options, files: dict) -> dict:
    """Flipped bits and cuts anywhere, by structure alone: without the manifest's checksum."""
    rng, results = random.Random(7), {}
    for name, path in files.items():
        size, found = path.stat().st_size, {"flips": 20, "cuts": 6, "flips_found": 0, "cuts_found": 0}
        for _ in range(found["flips"]):
            at = rng.randrange(size)
            with open(path, "r+b") as file:
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ (1 << rng.randrange(8))]))
            found["flips_found"] += verdict(options, path) == 1
            with open(path, "r+b") as file:
                file.seek(at)
                file.write(bytes([byte]))
        for share in (0.0, 0.3, 0.6, 0.999):
            found["cuts_found"] += cut(options, path, int(size * share))
        for less in (10, 1):
            found["cuts_found"] += cut(options, path, size - less)
        results[name] = found
    return results


def cut(options, path: Path, size: int) -> int:
    part = HOME / "cut"
    with open(path, "rb") as whole, open(part, "wb") as file:
        file.write(whole.read(size))
    return int(verdict(options, part, ["--format", "pg-dump"]) == 1)


def verdict(options, path: Path, more: list | None = None) -> int:
    return subprocess.run([options.lifeboat, "verify", *(more or []), path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


# ---------------------------------------------------------------- keeping the right ones


def keep(options, server) -> dict:
    """The newest backup damaged, and a policy of "keep one": what each tool does."""
    bin, environment, data = server["bin"], server["env"], server["data"]
    if not shutil.which("pgbackrest"):
        sys.exit("pgbackrest is missing: apt-get install pgbackrest")
    repo = HOME / "repo"
    repo.mkdir()
    if os.geteuid() == 0:
        shutil.chown(repo, "nobody")
    common = [f"--repo1-path={repo.resolve()}", f"--pg1-path={data}", f"--pg1-port={server['port']}", f"--pg1-socket-path={server['sockets']}",
              "--pg1-user=postgres", "--stanza=bench", f"--lock-path={repo.resolve()}/lock", f"--log-path={repo.resolve()}/log",
              f"--spool-path={repo.resolve()}/spool", "--compress-type=zst", "--log-level-console=error", "--no-archive-check"]

    def pgbackrest(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([*unprivileged(), "pgbackrest", *common, *arguments], capture_output=True, text=True, cwd="/")

    def must(*arguments: str) -> None:
        done = pgbackrest(*arguments)
        if done.returncode != 0:
            sys.exit(f"pgbackrest {arguments}: {done.stdout}{done.stderr}")

    must("stanza-create", "--no-online")
    for _ in range(3):
        must("backup", "--type=full", "--repo1-retention-full=9", "--start-fast")
    backups = sorted(path for path in (repo / "backup/bench").iterdir() if re.fullmatch(r"\d{8}-\d{6}F", path.name))
    victim = max((path for path in backups[-1].rglob("*.zst")), key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    verified = pgbackrest("verify")
    expired = pgbackrest("expire", "--repo1-retention-full=1")
    left = sorted(path.name for path in (repo / "backup/bench").iterdir() if re.fullmatch(r"\d{8}-\d{6}F", path.name))
    print(f"  pgBackRest: verify exits {verified.returncode}; expire --repo1-retention-full=1 leaves {left}, the damaged one is {backups[-1].name}", flush=True)

    # The same history for us: three daily backups, all read, the newest found damaged.
    def point(day: int, outcome: str) -> dict:
        at = f"2026-01-{day:02}T02:30:00Z"
        return {"app": "bench", "kind": "database-base", "id": f"202601{day:02}T023000Z-full", "region": "us-west-2",
                "taken_at": at, "checks": {"read": {"at": f"2026-01-{day:02}T03:00:00Z", "outcome": outcome}}}

    catalogue = HOME / "catalogue.json"
    catalogue.write_text(json.dumps({"complete": True, "points": [point(1, "sound"), point(2, "sound"), point(3, "damaged")]}))
    policy = HOME / "policy.json"
    policy.write_text(json.dumps(KEEP_ONE))
    ours = subprocess.run([options.lifeboat, "retention", "plan", "--catalog", catalogue, "--policy", policy, "--now", "2026-06-01T00:00:00Z", "--json"],
                          capture_output=True, text=True)
    if ours.returncode != 0:
        sys.exit(f"lifeboat retention plan: {ours.stderr}")
    plan = json.loads(ours.stdout)
    kept = {decision["id"]: decision["reason"] for decision in plan["decisions"] if decision["decision"] == "keep"}
    print(f"  ours keeps {kept}", flush=True)
    wanted = "20260102T023000Z-full"
    return {
        "pgbackrest": {"version": pgbackrest("version").stdout.strip(), "verify_exit": verified.returncode, "left_after_expire": left, "damaged": backups[-1].name},
        "ours": {"kept": kept},
        "targets": {f"the newest verified one stays, and the reason says so ({kept.get(wanted)})": wanted in kept and "verified" in str(kept.get(wanted))},
    }


# Keep one, and nothing for its age.
KEEP_ONE = {"keep_days": {"database-base": 1}, "minimum": 1}

BENCHES = {"read": (True, read), "keep": (True, keep)}

if __name__ == "__main__":
    sys.exit(main())
