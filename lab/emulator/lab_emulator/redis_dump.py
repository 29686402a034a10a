"""The data of a running Redis as an RDB file, asked for as a replica does.

That is what ElastiCache hands out, and it needs no access to the server's disk. Redis protocol:
SYNC is answered by blank lines while the server saves, then `$<length>` and that many bytes.
"""

import socket

# A server that is asked while another save is under way answers after that one.
_SILENCE_SECONDS = 30
_CHUNK = 1 << 20


def fetch(host: str, port: int) -> bytes:
    """The RDB file; `OSError` when the server cannot be reached, refuses, or breaks off."""
    with socket.create_connection((host, port), timeout=_SILENCE_SECONDS) as connection:
        connection.sendall(b"SYNC\r\n")
        with connection.makefile("rb") as answer:
            line = answer.readline()
            while line in (b"\n", b"\r\n"):
                line = answer.readline()
            if not line.startswith(b"$") or not line[1:].strip().isdigit():
                raise OSError(f"Redis at {host}:{port} does not answer SYNC with a file: {line[:80]!r}")
            left, parts = int(line[1:]), []
            while left:
                part = answer.read(min(left, _CHUNK))
                if not part:
                    raise OSError(f"Redis at {host}:{port} broke off {left} bytes early")
                parts.append(part)
                left -= len(part)
            return b"".join(parts)
