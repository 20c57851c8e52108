"""An SFTP server that lies: `Subsystem sftp python liar.py` in an sshd_config, for tests.

The first path that a client names begins with the name of a lie (or `seed-N`), and says what is
answered from then on; only the lies about the version are chosen by an argument. All that is not
lied about is answered as by an honest server with one file, `file`, of 10 bytes.
"""

import contextlib
import random
import struct
import sys
import time
from collections.abc import Callable

INIT, OPEN, CLOSE, READ, WRITE = 1, 3, 4, 5, 6
FSTAT, OPENDIR, READDIR, STAT = 8, 11, 12, 17
VERSION, STATUS, HANDLE, DATA, NAME, ATTRS = 2, 101, 102, 103, 104, 105
CONTENT = b"0123456789"
HUGE = 0xFFFFFFF0


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def status(code: int) -> bytes:
    return struct.pack(">I", code) + text(b"said") + text(b"")


def attributes(size: int = len(CONTENT), extended: bytes | None = None) -> bytes:
    known = struct.pack(">QIIIII", size, 0, 0, 0o100600, 1, 1)
    flags = 15 if extended is None else 0x8000000F
    return struct.pack(">I", flags) + known + (extended or b"")


def named(*names: bytes, count: int | None = None) -> bytes:
    each = [text(name) + text(b"") + attributes() for name in names]
    return struct.pack(">I", len(names) if count is None else count) + b"".join(each)


Answer = tuple[int, bytes]
LIES: dict[str, dict[int, Answer]] = {
    "names-too-many": {READDIR: (NAME, named(b"file", count=HUGE))},
    "names-none": {READDIR: (NAME, named())},
    "names-forever": {READDIR: (NAME, named(*[b"file"] * 1000))},
    "names-slash": {READDIR: (NAME, named(b"../file"))},
    "names-long": {READDIR: (NAME, struct.pack(">II", 1, HUGE) + b"file")},
    "names-ok": {READDIR: (STATUS, status(0))},
    "names-handle": {READDIR: (HANDLE, text(b"h"))},
    "attributes-all": {STAT: (ATTRS, struct.pack(">I", 0xFFFFFFFF))},
    "attributes-many": {STAT: (ATTRS, attributes(extended=struct.pack(">I", HUGE)))},
    "attributes-size": {STAT: (ATTRS, attributes(2**64 - 1))},
    "attributes-ok": {STAT: (STATUS, status(0))},
    "attributes-none": {STAT: (ATTRS, b"")},
    "attributes-data": {STAT: (DATA, text(b"x"))},
    "handle-long": {OPEN: (HANDLE, text(bytes(1_000_000)))},
    "handle-cut": {OPEN: (HANDLE, struct.pack(">I", HUGE) + b"h")},
    "handle-ok": {OPEN: (STATUS, status(0))},
    "size-huge": {FSTAT: (ATTRS, attributes(1 << 60))},
    "data-long": {READ: (DATA, text(bytes(5000)))},
    "data-cut": {READ: (DATA, struct.pack(">I", 10) + b"012")},
    "data-more": {READ: (DATA, struct.pack(">I", 3) + CONTENT)},
    "data-ok": {READ: (STATUS, status(0))},
    "data-none": {READ: (DATA, b"")},
    "data-names": {READ: (NAME, named(b"file"))},
    "status-cut": {WRITE: (STATUS, b"\0\0")},
    "status-long": {WRITE: (STATUS, struct.pack(">II", 4, HUGE))},
    "said-long": {
        OPEN: (STATUS, struct.pack(">I", 4) + text(b"\x1b[2J no\n" * 100_000) + text(b""))
    },
}
RAW: dict[str, Callable[[int], bytes]] = {
    "number-other": lambda number: struct.pack(">IBI", 5, STATUS, number + 1000),
    "packet-none": lambda _: struct.pack(">I", 0) + b"x",
    "packet-short": lambda number: struct.pack(">IBI", 4, DATA, number),
    "packet-huge": lambda number: struct.pack(">IBI", HUGE, DATA, number),
    "twice": lambda number: (
        2 * (struct.pack(">IBI", 5 + len(status(0)), STATUS, number) + status(0))
    ),
    "ends": lambda _: b"",
    "drips": lambda number: struct.pack(">IBI", 1005, DATA, number),
}
"""What is sent in the place of every answer."""
GREETINGS = {
    "html": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "old": struct.pack(">IBI", 5, VERSION, 2),
    "new": struct.pack(">IBI", 5, VERSION, 6),
    "no-version": struct.pack(">IBI", 5, STATUS, 3),
    "cut-extension": struct.pack(">IBII", 9, VERSION, 3, HUGE),
    "nothing": b"",
}
HONEST: dict[int, Answer] = {
    OPEN: (HANDLE, text(b"h")),
    OPENDIR: (HANDLE, text(b"h")),
    READ: (DATA, text(CONTENT)),
    READDIR: (STATUS, status(1)),
    STAT: (ATTRS, attributes()),
    FSTAT: (ATTRS, attributes()),
}


def main(greeting: str = "") -> None:
    receive()
    if greeting:
        send(GREETINGS[greeting])
        return
    send(packet(VERSION, struct.pack(">I", 3)))
    lie = ""
    while (asked := receive()) is not None:
        kind, number = struct.unpack(">BI", asked[:5])
        if not lie:
            lie = path_of(asked).partition("/")[0]
        send(answer(lie, kind, number))
        if lie == "drips":
            drip()
        if lie in RAW:
            return


def answer(lie: str, kind: int, number: int) -> bytes:
    if lie in RAW:
        return RAW[lie](number)
    what, rest = LIES.get(lie, {}).get(kind, HONEST.get(kind, (STATUS, status(0))))
    whole = packet(what, struct.pack(">I", number) + rest)
    return spoilt(whole, lie, number) if lie.startswith("seed-") else whole


def spoilt(whole: bytes, seed: str, number: int) -> bytes:
    """Spoil every other answer, the same way for the same seed."""
    chance = random.Random(f"{seed} {number}")
    way = chance.randrange(12)
    body = bytearray(whole[4:])
    if way == 0:
        body[chance.randrange(len(body))] = chance.randrange(256)
    elif way == 1:
        del body[chance.randrange(1, len(body) + 1) :]
    elif way == 2:
        body += chance.randbytes(chance.randrange(1, 300))
    elif way == 3:
        body[5:] = chance.randbytes(chance.randrange(0, 3000))
    elif way == 4:
        body[0] = chance.choice([VERSION, STATUS, HANDLE, DATA, NAME, ATTRS, 201])
    elif way == 5:
        body[5:9] = struct.pack(">I", chance.choice([0, 1, 4, 8, 0x7FFFFFFF, HUGE]))
    return struct.pack(">I", len(body)) + bytes(body)


def drip() -> None:
    """Send the rest of an answer, too slowly."""
    with contextlib.suppress(OSError):
        for _ in range(1000):
            send(b"x")
            time.sleep(0.05)


def packet(kind: int, rest: bytes) -> bytes:
    return struct.pack(">IB", 1 + len(rest), kind) + rest


def path_of(asked: bytes) -> str:
    (size,) = struct.unpack(">I", asked[5:9])
    return asked[9 : 9 + size].decode()


def receive() -> bytes | None:
    head = sys.stdin.buffer.read(4)
    return sys.stdin.buffer.read(struct.unpack(">I", head)[0]) if len(head) == 4 else None


def send(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
