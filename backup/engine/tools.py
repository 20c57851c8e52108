"""A machine's GNU tools, packed into a tar that works wherever it is unpacked.

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
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from backup.engine.machine import HERE, Machine
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


class NoTools(EngineError):
    """A machine has not what a helper image is made of; another one may have it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the helper image cannot be built here: {what}",
            hint="name an image with GNU tar and GNU find: VOLTAR_HELPER_IMAGE=debian:stable-slim",
        )


def gather(machine: Machine = HERE) -> Toolbox:
    """Pack a machine's tools. Raises NoTools when they are not GNU's, or one is missing."""
    programs = _programs(machine)
    for name in GNU:
        if "GNU" not in machine.output([programs[name], "--version"]):
            raise NoTools(f"{programs[name]} of {machine.name} is not GNU {name}")
    loader, libraries = _linked(machine.output(["ldd", *sorted(set(programs.values()))]))
    linked = [*([loader] if loader else []), *libraries.values()]
    origin = _origin(machine, programs, linked)
    contents = machine.contents([*programs.values(), *linked])
    tools, rest = contents[: len(programs)], contents[len(programs) :]
    files = {
        f"{ROOT}/bin/{name}": _relocate(tool, loader)
        for name, tool in zip(programs, tools, strict=True)
    }
    names = [*([LOADER] if loader else []), *(f"{ROOT}/lib/{name}" for name in libraries)]
    files |= {name: _hide(library) for name, library in zip(names, rest, strict=True)}
    digest, archive = _pack(files)
    return Toolbox(archive, digest, origin)


def unchanged(origin: str, machine: Machine = HERE) -> bool:
    """Return whether to gather now would, by all that shows, make the same as from this origin."""
    try:
        linked = [os.fsdecode(unquote_to_bytes(path)) for path in origin.split(",")[1:]]
        return origin == _origin(machine, _programs(machine), linked)
    except (ValueError, EngineError):
        return False


def _origin(machine: Machine, programs: Mapping[str, str], linked: Sequence[str]) -> str:
    """Tell files from what may be there later: a digest, and what programs are linked with."""
    seen = hashlib.sha256(b"%d" % RECIPE)
    states = machine.states([*programs.values(), *linked])
    for name, state in zip([*programs, *linked], states, strict=True):
        seen.update(os.fsencode(f"\0{name}\0{state}"))
    return ",".join([seen.hexdigest(), *(quote(os.fsencode(path)) for path in linked)])


def _programs(machine: Machine) -> dict[str, str]:
    """Where the tools are. Raises NoTools when one is missing that is needed."""
    found = machine.programs((*NEEDED, *WELCOME))
    if missing := [name for name in NEEDED if name not in found]:
        raise NoTools(f"{machine.name} has no {missing[0]!r}")
    return found


def _linked(listed: str) -> tuple[str | None, dict[str, str]]:
    """The loader and the shared libraries (by the name that programs ask for) in ldd's list."""
    loader: str | None = None
    libraries: dict[str, str] = {}
    for line in listed.splitlines():
        words = line.split()
        if not line.startswith(("\t", " ")) or not words:
            continue
        if "=>" in words and len(words) > 2 and words[2].startswith("/"):
            libraries[words[0]] = words[2]
        elif words[0].startswith("/") and "=>" not in words:
            loader = words[0]
    if not libraries and "static" not in listed:
        raise NoTools("ldd does not tell what the tools need")
    return loader, libraries


def _relocate(program: bytes, loader: str | None) -> bytes:
    """The program, asking for the loader in /.voltar. Scripts cannot be carried along."""
    if not program.startswith(b"\x7fELF"):
        raise NoTools("a tool is a script, not a program")
    if loader is None:
        return program
    old = os.fsencode(loader) + b"\0"
    new = LOADER.encode().ljust(len(old) - 1, b"\0") + b"\0"
    if len(new) != len(old):
        raise NoTools(f"the loader's path {loader} is short")
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
