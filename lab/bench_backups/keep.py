"""The newest backup damaged, and a policy of "keep one": what pgBackRest does, and what we do."""

import json
import os
import re
import shutil
import subprocess

from measure import Missed, program, run, say
from server import given_away, unprivileged

# Keep one, and nothing for its age.
KEEP_ONE = {"keep_days": {"database-dump": 1}, "minimum": 1}
BACKUPS = 3


def bench(options, server, home) -> dict:
    # Ours first: what it does does not hang on whether the peer is installed.
    ours = keep_ours(options, server, home)
    if not shutil.which("pgbackrest"):
        raise Missed("pgBackRest is not installed, so nothing was compared: `bash lab/setup.sh bench` installs it")
    peer = keep_theirs(server, home)
    return {
        "ours": ours,
        "pgbackrest": peer,
        "targets": {
            f"the newest verified backup stays: {ours['why']}": ours["kept"] == [ours["newest_sound"]],
            f"the plan says so: {ours['notes']}": any(ours["newest_sound"] in note for note in ours["notes"]),
        },
    }


def keep_ours(options, server, home) -> dict:
    """Three dumps, the newest damaged by one bit, each read by `lifeboat verify`; the catalogue has what it said."""
    lifeboat = program(options.bin / "lifeboat")
    points = []
    for day in range(1, BACKUPS + 1):
        dump = server.dump(home / f"keep-{day}.dump", "--table=few")
        if day == BACKUPS:
            flip(dump)
        found = run([lifeboat, "verify", dump], wanted=(0, 1))
        check = {"at": f"2026-01-{day:02}T03:00:00Z", "outcome": "damaged" if found.code else "sound"}
        points.append(
            {
                "app": "bench", "kind": "database-dump", "id": f"202601{day:02}T023000Z-full", "region": "us-west-2",
                "taken_at": f"2026-01-{day:02}T02:30:00Z", "checks": {"read": check},
            }
        )  # fmt: skip
    catalogue, policy = home / "catalogue.json", home / "policy.json"
    catalogue.write_text(json.dumps({"complete": True, "points": points}))
    policy.write_text(json.dumps(KEEP_ONE))
    command = [lifeboat, "retention", "plan", "--catalog", catalogue, "--policy", policy, "--now", "2026-06-01T00:00:00Z"]
    plan = json.loads(subprocess.check_output([*command, "--json"]))
    told = subprocess.check_output(command, text=True)
    gone = {one["id"] for one in plan["deletions"]}
    kept = {one["id"]: one["why"] for one in plan["decisions"] if one["id"] not in gone}
    sound = [one["id"] for one in points if one["checks"]["read"]["outcome"] == "sound"]
    notes = [line.removeprefix("note").strip() for line in told.splitlines() if "cannot be restored" in line]
    say(f"ours keeps {list(kept)}, and of {points[-1]['id']} it says: {points[-1]['checks']['read']['outcome']}")
    return {"kept": list(kept), "why": kept.get(sound[-1]), "newest_sound": sound[-1], "notes": notes}


def flip(path) -> None:
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def keep_theirs(server, home) -> dict:
    repo = home / "repo"
    repo.mkdir()
    given_away(repo)
    path = repo.resolve()
    # As variables, of which a command ignores those that are not for it.
    settings = {
        "REPO1_PATH": path, "PG1_PATH": server.data, "PG1_PORT": server.port, "PG1_SOCKET_PATH": server.sockets,
        "PG1_USER": "postgres", "STANZA": "bench", "LOCK_PATH": path / "lock", "LOG_LEVEL_FILE": "off",
        "COMPRESS_TYPE": "zst", "LOG_LEVEL_CONSOLE": "warn",
    }  # fmt: skip
    environment = {"PATH": os.environ["PATH"], **{f"PGBACKREST_{name}": str(value) for name, value in settings.items()}}

    def pgbackrest(*arguments: str) -> subprocess.CompletedProcess:
        command = [*unprivileged(), "pgbackrest", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd="/", env=environment)

    def must(*arguments: str) -> None:
        done = pgbackrest(*arguments)
        if done.returncode != 0:
            raise Missed(f"pgbackrest {' '.join(arguments)}: {done.stdout}{done.stderr}")

    def backups() -> list:
        names = (one.name for one in (repo / "backup/bench").iterdir())
        return sorted(name for name in names if re.fullmatch(r"\d{8}-\d{6}F", name))

    # No file of the machine's own is read.
    must("stanza-create", "--no-config")
    for _ in range(BACKUPS):
        # No WAL is archived to it here, and it is not what is compared.
        must("backup", "--no-config", "--type=full", "--repo1-retention-full=9", "--start-fast", "--no-archive-check")
    newest = backups()[-1]
    flip(max((repo / "backup/bench" / newest).rglob("*.zst"), key=lambda one: one.stat().st_size))
    verified = pgbackrest("verify", "--no-config")
    must("expire", "--no-config", "--repo1-retention-full=1")
    left = backups()
    version = pgbackrest("version").stdout.strip()
    said = [line for line in (verified.stdout + verified.stderr).splitlines() if line.strip()]
    say(f"{version}: verify exits {verified.returncode} ({' / '.join(said) or 'without a word'}); expire leaves {left}; damaged is {newest}")
    return {
        "version": version,
        "verify_exit": verified.returncode,
        "verify_said": said,
        "left_after_expire": left,
        "damaged": newest,
        "keeps_only_the_damaged_one": left == [newest],
    }
