"""Flipped bits and cuts in every format that is read, found by its structure alone and with the manifest's checksum."""

import hashlib
import random
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

from measure import Missed, program, say
from server import free_port

FLIPS, CUTS = 200, 50


def bench(options, server, home) -> dict:
    folder = home / "damage"
    folder.mkdir()
    table, targets = {}, {}
    say(f"{'format':<26} {'bytes':>10}  by structure alone      with the manifest's SHA-256")
    for name, (path, kind, proven) in artifacts(server, folder).items():
        size, digest = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
        verify = [program(options.bin / "lifeboat"), "verify", "--format", kind]
        if verdict([*verify, "--sha256", digest, path]) != 0:
            raise Missed(f"{path} is sound, and `lifeboat verify` does not say so")
        alone, summed = found([*verify, path], path), found([*verify, "--sha256", digest, path], path)
        table[name] = {"bytes": size, "alone": alone, "with_checksum": summed}
        say(f"{name:<26} {size:>10,}  {told(alone):<23} {told(summed)}")
        promised = [("with its checksum", summed)] + ([("by structure alone", alone)] if proven else [])
        for how, figures in promised:
            targets[f"{name}, {how}: {told(figures)}"] = figures == {"flips": FLIPS, "cuts": CUTS}
    return {"flips": FLIPS, "cuts": CUTS, "formats": table, "targets": targets}


def told(figures: dict) -> str:
    return f"{figures['flips']}/{FLIPS} flips {figures['cuts']}/{CUTS} cuts"


def verdict(command: list) -> int:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def found(command: list, path: Path) -> dict:
    """How many of the damages are found: exit code 1. The file is left as it was."""
    rng, whole = random.Random(7), path.read_bytes()
    seen = {"flips": 0, "cuts": 0}
    for _ in range(FLIPS):
        at, bit = rng.randrange(len(whole)), 1 << rng.randrange(8)
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(bytes([whole[at] ^ bit]))
            file.flush()
            seen["flips"] += verdict(command) == 1
            file.seek(at)
            file.write(whole[at : at + 1])
    for turn in range(CUTS):
        # The last bytes, nothing at all, and anywhere.
        with open(path, "r+b") as file:
            file.truncate(len(whole) - 1 - turn if turn < 5 else 0 if turn == 5 else rng.randrange(len(whole)))
        seen["cuts"] += verdict(command) == 1
        path.write_bytes(whole)
    return seen


def artifacts(server, folder: Path) -> dict:
    """A sound one of each format: path, its name for `--format`, and whether its own checksums are promised to cover every bit."""
    made = {}
    few = "--table=few"
    made["pg_dump, gzip"] = (server.dump(folder / "gzip.dump", few, "--compress=6"), "pg-dump", False)
    piped = folder / "piped.dump"
    # Without offsets in its table of contents.
    command = f"'{server.bin}/pg_dump' --format=custom {few} bench | cat"
    subprocess.run(command, shell=True, env=server.environment, check=True, stdout=open(piped, "wb"))
    made["pg_dump to a pipe, gzip"] = (piped, "pg-dump", False)
    plain = server.dump(folder / "none.dump", few, "--compress=0")
    made["pg_dump, uncompressed"] = (plain, "pg-dump", False)
    made["pg_dump in zstd"] = (zstd(plain), "pg-dump", False)
    files = folder / "files"
    files.mkdir()
    for number in range(40):
        (files / f"{number}.txt").write_text(f"line {number}\n" * (number * 37))
    tar = folder / "files.tar"
    with tarfile.open(tar, "w") as archive:
        archive.add(files, arcname="files")
    made["tar"] = (tar, "tar", False)
    gzipped = folder / "files.tar.gz"
    with open(gzipped, "wb") as file:
        # Without the name and the time, which are in no checksum.
        subprocess.run(["gzip", "-n", "-c", tar], stdout=file, check=True)
    made["tar in gzip"] = (gzipped, "tar", False)
    made["tar in zstd"] = (zstd(tar), "tar", False)
    rdb, aof = redis(folder)
    made["Redis snapshot"] = (rdb, "rdb", True)
    made["Redis append-only file"] = (aof, "aof", False)
    # A whole segment of WAL, full of records.
    server.sql("CREATE TABLE scrap AS SELECT md5(i::text) FROM generate_series(1, 600000) i")
    name = server.sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn() - 2 * 16777216)")
    shutil.copy(server.data / "pg_wal" / name, folder / name)
    made["WAL segment"] = (folder / name, "wal", True)
    return made


def zstd(path: Path) -> Path:
    packed = path.with_name(path.name + ".zst")
    subprocess.run(["zstd", "-q", "--check", "-o", packed, path], check=True)
    return packed


def redis(folder: Path) -> tuple[Path, Path]:
    """A snapshot, and an append-only file, of a Redis of the bench's own."""
    port, home = free_port(), folder / "redis"
    home.mkdir()
    settings = {"port": port, "bind": "127.0.0.1", "dir": home, "save": "", "appendonly": "yes", "aof-use-rdb-preamble": "no"}
    words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
    process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
    try:
        def ask(*words: str, **more) -> str:
            return subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True, **more).stdout

        while ask("PING").strip() != "PONG":
            if process.poll() is not None:
                raise Missed("redis-server did not start")
            time.sleep(0.05)
        ask(input="".join(f"SET key:{n} value-{n * 7919}\nRPUSH list:{n % 20} {n}\nZADD board {n} member:{n}\n" for n in range(3000)))
        ask("SAVE")
    finally:
        process.terminate()
        process.wait()
    return home / "dump.rdb", max((home / "appendonlydir").glob("*.incr.aof"))
