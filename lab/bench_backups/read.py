"""Reading a dump: `lifeboat verify` against `pg_restore -f /dev/null`, with the SHA-256 of the file on our side only.

One core reads a dump of pgbench's tables and one with jsonb; two read the same rows in several large tables. What
inflate can make of a dump depends on its text: the table with jsonb alone, whose tokens hardly compress, is shown too.
"""

import subprocess

from measure import in_turn, peak_mib, program, say, told
from server import several


def bench(options, server, home) -> dict:
    verify = [program(options.bin / "lifeboat"), "verify"]
    inflate = [program(options.bin / "examples/inflate")]
    restore = [server.bin / "pg_restore", "-f", "/dev/null"]
    # As pg_dump does by default; a dump to a file has the offsets of its blocks, one to a pipe has not.
    dump = server.dump(home / "bench.dump", "--compress=6")
    tickets = server.dump(home / "tickets.dump", "--compress=6", "--table=tickets")
    parts = server.dump(home / "parts.dump", "--compress=6", database=several(server))
    piped = home / "piped.dump"
    with open(piped, "wb") as file:
        command = f"'{server.bin}/pg_dump' --format=custom --compress=6 several | cat"
        subprocess.run(command, shell=True, env=server.environment, check=True, stdout=file)
    count = subprocess.check_output(f"'{server.bin}/pg_restore' -f - '{dump}' | wc -c", shell=True)
    stored, raw = dump.stat().st_size, int(count)
    say(f"{stored / 1e6:.0f} MB stored, {raw / 1e9:.2f} GB of text")
    for path in (dump, tickets, parts, piped):
        path.read_bytes()  # into the page cache, for all of them

    one = in_turn(
        options.runs,
        {
            "ours": [*verify, dump],
            "pg_restore": [*restore, dump],
            "inflate": [*inflate, dump],
            "ours, jsonb alone": [*verify, tickets],
            "pg_restore, jsonb alone": [*restore, tickets],
        },
        cores="0",
    )
    two = in_turn(
        options.runs,
        {"ours": [*verify, parts], "piped": [*verify, piped], "pg_restore": [*restore, parts]},
        cores="0,1",
    )
    faster = times(one["pg_restore"], one["ours"])
    share = times(one["inflate"], one["ours"])
    faster_on_two = times(two["pg_restore"], two["ours"])
    faster_piped = times(two["pg_restore"], two["piped"])
    for name, each in (("one core", one), ("two cores", two)):
        say(f"{name}: " + ", ".join(f"{who} {told(figures)}" for who, figures in each.items()))
    jsonb = times(one["pg_restore, jsonb alone"], one["ours, jsonb alone"])
    say(f"of the table with jsonb alone, one core: {jsonb} times as fast as pg_restore")

    small = server.dump(home / "small.dump", "--compress=6", "--table=few")
    packed = home / "bench.dump.zst"
    command = f"'{server.bin}/pg_dump' --format=custom --compress=0 bench | zstd -q -3 -T2 -o '{packed}'"
    subprocess.run(command, shell=True, env=server.environment, check=True)
    memory = {path.name: round(peak_mib([*verify, path]), 1) for path in (small, tickets, dump, piped, packed)}
    say(f"MiB of memory, the program itself included: {memory}")
    return {
        "stored_bytes": stored,
        "text_bytes": raw,
        "one_core": one,
        "two_cores": two,
        "memory_mib": memory,
        "targets": {
            f"{faster} times as fast as pg_restore on one core (2)": faster >= 2,
            f"{faster_on_two} times as fast on two cores (3.5)": faster_on_two >= 3.5,
            f"{faster_piped} times as fast on two cores, of a dump without offsets (3.5)": faster_piped >= 3.5,
            f"{share} of the speed of inflating the blocks alone (0.8)": share >= 0.8,
            f"at most 64 MiB of memory, the program included ({max(memory.values())})": max(memory.values()) <= 64,
        },
    }


def times(peer: dict, ours: dict) -> float:
    """How many times as fast as the peer, by their medians."""
    return round(peer["median"] / ours["median"], 2)
