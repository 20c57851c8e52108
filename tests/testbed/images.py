"""Images made without a registry, from this machine's own binaries and the libraries they need.

The imported tar is deterministic and its digest is the tag: an engine with the tag has the image.
"""

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.testbed import debian
from tests.testbed.command import BedFailure, located, run
from tests.testbed.engine import Engine

TOOLS = """
    sh cat chmod chown cp date dd df du echo env expr false find getcap getfacl getfattr grep
    head id ln ls mkdir mkfifo mknod mktemp mv od printf pwd readlink rm rmdir sed seq setcap
    setfacl setfattr sha256sum sleep sort stat sync tail tar tee test touch tr true truncate wc
    xargs
""".split()  # noqa: SIM905  (a list of fifty quoted words is harder to read)
FILES: Mapping[str, bytes] = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
}


def tools(engine: Engine) -> str:
    """The image `voltar-test-tools`: a shell, coreutils, tar, find, attributes and ACLs."""
    return build(engine, "voltar-test-tools", TOOLS)


def build(
    engine: Engine, name: str, commands: Sequence[str], *, changes: Sequence[str] = ()
) -> str:
    """Put an image of these commands (names or paths) on the engine; returns name:tag.

    `changes` are Dockerfile instructions: CMD, ENV, EXPOSE, VOLUME, HEALTHCHECK …
    """
    archive = packed(tuple(commands))
    digest = hashlib.sha256(archive + "\0".join(changes).encode()).hexdigest()[:12]
    reference = f"{name}:{digest}"
    if engine.attempt("image", "inspect", reference).returncode:
        words = [word for change in ("ENV PATH=/bin", *changes) for word in ("--change", change)]
        engine.docker("import", *words, "-", reference, stdin=archive)
    return reference


@cache
def packed(commands: tuple[str, ...]) -> bytes:
    """A deterministic tar: commands in /bin, libraries where ldd found them, a little of /etc."""
    debian.require(debian.TEST_TOOLS)
    content: dict[str, bytes] = dict(FILES)
    binaries = [present(command) for command in commands]
    content |= {f"bin/{path.name}": path.read_bytes() for path in binaries}
    content |= {str(path).lstrip("/"): path.read_bytes() for path in libraries(*binaries)}
    directories = {str(p) for name in content for p in Path(name).parents if str(p) != "."}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(directories | {"root", "usr", "var", "tmp"}):
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(member)
        link = tarfile.TarInfo("usr/bin")
        link.type, link.linkname = tarfile.SYMTYPE, "../bin"
        tar.addfile(link)
        for name, data in sorted(content.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644 if name in FILES else 0o755
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def present(command: str) -> Path:
    """Where a command is that an image needs."""
    found = located(command)
    if found is None:
        raise BedFailure(f"an image for the tests needs the command {command}, which is not here")
    return found


def libraries(*binaries: Path) -> list[Path]:
    """The shared libraries and the loader that binaries need, as ldd names them.

    Of several it first names each, with a colon; of what is no binary it complains.
    """
    listed = run(["sh", "-c", 'ldd "$@" 2>/dev/null || true', "-", *binaries]).decode()
    words = (word for line in listed.splitlines() for word in line.split())
    return sorted({Path(word) for word in words if word.startswith("/") and word[-1] != ":"})
