"""Containers with content, in the shape of the classic example.

    docker create -v /dbdata --name dbdata IMAGE       an anonymous volume at /dbdata
    docker create -v NAME:/dbdata --name … IMAGE       a named one

The content is the same in every run: a few thousand small files like a mail store's, some tables, a
larger file that does not compress, links, owners, modes, times.
"""

import io
import json
import random
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from tests.testbed import images
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch

DIRECTORY = "/dbdata"
START = 1_700_000_000
OWNERS = (0, 70, 999, 65534)
MODES = (0o644, 0o600, 0o755, 0o440)


@dataclass(frozen=True, slots=True)
class Seeded:
    """A container that exists and does not run, and the volume that it has at /dbdata."""

    container: str
    volume: str


def dbdata(scratch: Scratch, *, named: bool = False, files: int = 3000) -> Seeded:
    """Make a container with a volume full of content; its name begins with that of the scratch."""
    engine = scratch.engine
    image = images.tools(engine)
    volume = f"{scratch.volume()}:" if named else ""
    container = scratch.container(image, "true", options=["-v", f"{volume}{DIRECTORY}"])
    fill(engine, container, files=files)
    return Seeded(container, volume.rstrip(":") or volume_at(engine, container, DIRECTORY))


def volume_at(engine: Engine, container: str, destination: str) -> str:
    """The name of the volume that a container has at a place."""
    mounts = json.loads(engine.docker("inspect", "--format", "{{json .Mounts}}", container))
    (name,) = (mount["Name"] for mount in mounts if mount["Destination"] == destination)
    return str(name)


def fill(engine: Engine, container: str, *, files: int = 3000, seed: int = 1) -> None:
    """Unpack the content into /dbdata of a container, through the engine."""
    extract(engine, container, DIRECTORY, archive(files=files, seed=seed))


def extract(engine: Engine, container: str, directory: str, tar: bytes) -> None:
    """Unpack a tar, as root, into a directory of a container's volumes."""
    image = images.tools(engine)
    command = [
        "tar",
        "-xpf",
        "-",
        "--numeric-owner",
        "--delay-directory-restore",
        "--xattrs",
        "--xattrs-include=*",
        "-C",
        directory,
    ]
    engine.raw("run", "--rm", "-i", "--volumes-from", container, image, *command, stdin=tar)


def archive(*, files: int = 3000, seed: int = 1) -> bytes:
    """The content as a tar, the same for the same arguments."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in members(files, random.Random(seed)):
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def members(files: int, dice: random.Random) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """The entries of the content, in an order that can be extracted."""
    words = [f"{dice.getrandbits(40):x}" for _ in range(2000)]
    yield entry(".", tarfile.DIRTYPE, dice), b""
    for directory in ("tables", "mail"):
        yield entry(directory, tarfile.DIRTYPE, dice), b""
    for number in range(8):
        rows = (f"{n},{dice.choice(words)},{dice.random():.6f}\n" for n in range(20_000))
        yield of("tables", f"{number:04}.csv", "".join(rows).encode(), dice)
    yield of("tables", "photos.bin", dice.randbytes(6 << 20), dice)
    for group in range(-(-files // 100)):
        directory = f"mail/{group:02x}"
        yield entry(directory, tarfile.DIRTYPE, dice), b""
        for number in range(min(100, files - 100 * group)):
            text = " ".join(dice.choices(words, k=dice.randrange(1, 600))).encode()
            yield of(directory, f"{number:02}.txt", text, dice)
        yield link(f"{directory}/latest", tarfile.SYMTYPE, "00.txt", dice), b""
    if files:
        yield link("first", tarfile.LNKTYPE, "mail/00/00.txt", dice), b""
    yield of("", "empty", b"", dice)


def of(
    directory: str, name: str, data: bytes, dice: random.Random
) -> tuple[tarfile.TarInfo, bytes]:
    """A file with its content."""
    member = entry(f"{directory}/{name}".lstrip("/"), tarfile.REGTYPE, dice)
    member.size = len(data)
    return member, data


def link(name: str, kind: bytes, target: str, dice: random.Random) -> tarfile.TarInfo:
    """A symbolic or hard link."""
    member = entry(name, kind, dice)
    member.linkname = target
    return member


def entry(name: str, kind: bytes, dice: random.Random) -> tarfile.TarInfo:
    """An entry with an owner, a mode and a time in nanoseconds of its own."""
    member = tarfile.TarInfo(name)
    member.type = kind
    member.mode = 0o755 if kind == tarfile.DIRTYPE else dice.choice(MODES)
    member.uid = member.gid = dice.choice(OWNERS)
    member.pax_headers = {"mtime": f"{START + dice.randrange(10**7)}.{dice.randrange(10**9):09}"}
    return member
