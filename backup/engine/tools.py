"""This machine's GNU tools, packed into a tar that works wherever it is unpacked.

A helper mounts a target's volumes at the target's own paths, and a volume may be mounted at /usr,
/lib or /etc: it hides what the image has there, and whoever writes to it would like the helper to
load it. So everything lives under /.voltar, and three things in the copies are overwritten in
place:

    program       its ELF interpreter            → /.voltar/ld
    loader        /etc/ld.so.preload             → a name below /.voltar that does not exist
                  /etc/ld.so.cache               → likewise
    C library     /etc/nsswitch.conf             → likewise (it names modules to load)

Libraries are found by LD_LIBRARY_PATH. The archive is the same, byte for byte, as long as the tools
are: its digest names the image. To gather takes a while, so a toolbox also tells its origin: the
files that it was made of, by which can be seen whether they are what they were.
"""

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from backup.errors import EngineError

ROOT = "/.voltar"
LOADER = f"{ROOT}/ld"
SCRATCH = f"{ROOT}/io"
ENVIRONMENT = {
    "PATH": f"{ROOT}/bin",
    "LD_LIBRARY_PATH": f"{ROOT}/lib",
    "LC_ALL": "C",
    "TZ": "UTC0",
    "HOME": "/",
}
NEEDED = (
    *("sh", "tar", "find", "cat", "mv", "rm", "mkdir", "rmdir", "sync"),
    *("date", "dd", "xargs", "head", "stat", "sha256sum"),
)
WELCOME = (
    *("zstd", "chmod", "chown", "cp", "df", "du", "env", "ln", "ls"),
    *("mkfifo", "sleep", "sort", "tail", "touch", "truncate", "wc"),
)
GNU = ("tar", "find")
RECIPE = 1
"""How the copies are made: another number wherever the same tools would make other copies."""
_HIDDEN = {
    b"/etc/ld.so.preload\0": b"/.voltar/nopreload\0",
    b"/etc/ld.so.cache\0": b"/.voltar/nocache\0",
    b"/etc/nsswitch.conf\0": b"/.voltar/nssw.conf\0",
}


@dataclass(frozen=True, slots=True)
class Toolbox:
    """A root file system as an uncompressed tar, the digest of what is in it, and its `origin`."""

    archive: bytes
    digest: str
    origin: str


def gather() -> Toolbox:
    """Pack this machine's tools. Raises EngineError when they are not GNU's, or one is missing."""
    programs = _programs()
    for name in GNU:
        _require_gnu(name, programs[name])
    loader, libraries = _linked(sorted({path.resolve() for path in programs.values()}))
    origin = _origin(programs, [*([loader] if loader else []), *libraries.values()])
    files = {f"{ROOT}/lib/{name}": _hide(path.read_bytes()) for name, path in libraries.items()}
    if loader is not None:
        files[LOADER] = _hide(loader.read_bytes())
    for name, path in programs.items():
        files[f"{ROOT}/bin/{name}"] = _relocate(path.resolve().read_bytes(), loader)
    digest, archive = _pack(files)
    return Toolbox(archive, digest, origin)


def unchanged(origin: str) -> bool:
    """Return whether to gather now would, by all that shows, make the same as from this origin."""
    try:
        linked = [Path(os.fsdecode(unquote_to_bytes(path))) for path in origin.split(",")[1:]]
        return origin == _origin(_programs(), linked)
    except (OSError, ValueError, EngineError):
        return False


def _origin(programs: Mapping[str, Path], linked: Sequence[Path]) -> str:
    """Tell files from what may be there later: a digest, and what programs are linked with."""
    seen = hashlib.sha256(b"%d" % RECIPE)
    for name, path in [*programs.items(), *((str(path), path) for path in linked)]:
        real = path.resolve(strict=True)
        state = real.stat()
        about = f"\0{name}\0{real}\0{state.st_size} {state.st_mtime_ns} {state.st_ino}"
        seen.update(os.fsencode(about))
    return ",".join([seen.hexdigest(), *(quote(os.fsencode(path)) for path in linked)])


def _programs() -> dict[str, Path]:
    programs = {name: _program(name) for name in NEEDED}
    return programs | {name: Path(found) for name in WELCOME if (found := shutil.which(name))}


def _program(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise EngineError(
            f"the helper image cannot be built here: this machine has no {name!r}",
            hint="name an image with GNU tar and GNU find: VOLTAR_HELPER_IMAGE=debian:stable-slim",
        )
    return Path(found)


def _require_gnu(name: str, path: Path) -> None:
    said = _output([str(path), "--version"])
    if "GNU" not in said:
        raise EngineError(
            f"the helper image cannot be built here: {path} is not GNU {name}",
            hint="name an image with GNU tar and GNU find: VOLTAR_HELPER_IMAGE=debian:stable-slim",
        )


def _linked(programs: list[Path]) -> tuple[Path | None, dict[str, Path]]:
    """The loader and the shared libraries (by the name that programs ask for) of some programs."""
    loader: Path | None = None
    libraries: dict[str, Path] = {}
    for line in _output(["ldd", *map(str, programs)]).splitlines():
        words = line.split()
        if not line.startswith(("\t", " ")) or not words:
            continue
        if "=>" in words and len(words) > 2 and words[2].startswith("/"):
            libraries[words[0]] = Path(words[2])
        elif words[0].startswith("/") and "=>" not in words:
            loader = Path(words[0])
    return loader, libraries


def _output(argv: list[str]) -> str:
    """What a local program prints. Its status is not asked: ldd fails for static programs."""
    done = subprocess.run(
        argv,
        capture_output=True,
        check=False,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.decode(errors="replace")


def _relocate(program: bytes, loader: Path | None) -> bytes:
    """The program, asking for the loader in /.voltar. Scripts cannot be carried along."""
    if not program.startswith(b"\x7fELF"):
        raise EngineError(
            "the helper image cannot be built here: a tool is a script, not a program"
        )
    if loader is None:
        return program
    old = str(loader).encode() + b"\0"
    new = LOADER.encode().ljust(len(old) - 1, b"\0") + b"\0"
    if len(new) != len(old):
        raise EngineError(
            f"the helper image cannot be built here: the loader's path {loader} is short"
        )
    return program.replace(old, new, 1)


def _hide(library: bytes) -> bytes:
    """The library or loader, without the paths through which /etc could make it load something."""
    for old, new in _HIDDEN.items():
        library = library.replace(old, new)
    return library


def _pack(files: dict[str, bytes]) -> tuple[str, bytes]:
    """A digest, and a tar, that depend on nothing but names and contents."""
    digest = hashlib.sha256(b"%d" % RECIPE)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for directory in (ROOT, f"{ROOT}/bin", f"{ROOT}/lib", SCRATCH):
            archive.addfile(_member(directory, tarfile.DIRTYPE, 0))
        for name in sorted(files):
            archive.addfile(
                _member(name, tarfile.REGTYPE, len(files[name])), io.BytesIO(files[name])
            )
            digest.update(f"{name}\0{len(files[name])}\0".encode())
            digest.update(files[name])
    return digest.hexdigest(), target.getvalue()


def _member(name: str, kind: bytes, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name.lstrip("/"))
    member.type, member.size, member.mode = kind, size, 0o755
    return member
