"""`docker save` on an engine's own host: what is not wanted stays there, the rest is compressed.

Over the API an engine gives whole archives, uncompressed. Where we have a shell on its host, that
shell saves, takes out files by GNU tar, and compresses with what it has. The shell's status is that
of `docker save`; whether the rest went well shows in the archive, which its reader proves.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

from backup.blocks import Block, Blocks
from backup.compression import decompressed
from backup.engine.connect import Engine
from backup.engine.ssh import SshRoute
from backup.errors import EngineError

# $1 the docker command, $2 its host or "", $3 the image, then names of files.
# Descriptor 3 is where the answer goes, 4 where the status of `docker save` goes.
_SCRIPT: Final = (
    '[ -z "$2" ] || {{ DOCKER_HOST=$2; export DOCKER_HOST; unset DOCKER_CONTEXT; }}; '
    "p=$1 i=$3; shift 3; exec 3>&1; "
    's=$({{ {{ "$p" image save "$i"; echo $? >&4; }} | {{ {0}; }} >&3; }} 4>&1); exit "${{s:-1}}"'
)
_WITHOUT: Final = '{ if [ $# -gt 0 ]; then tar --delete -f - -- "$@"; else cat; fi; }'
_PACK: Final = (
    "if command -v zstd >/dev/null; then zstd -qc; "
    "elif command -v gzip >/dev/null; then gzip -c; else cat; fi"
)
_SAVE: Final = _SCRIPT.format(f"{_WITHOUT} | {{ {_PACK}; }}")
_LIST: Final = _SCRIPT.format("tar --list --verbose --numeric-owner -f -")
_GNU: Final = "tar --version"
_BLOCK: Final = 256 << 10
_ENDS_WITHIN_S: Final = 60.0
_FILE: Final = "-"


def has_shell(engine: Engine) -> bool:
    """Tell whether an engine's host can save for us."""
    route = engine.route
    if not isinstance(route, SshRoute) or route.docker is None:
        return False
    if "far-save" not in engine.memory:
        try:
            said = route.host.run(_GNU, what="cannot look for tar")
        except EngineError:
            said = b""
        engine.memory["far-save"] = b"GNU" in said
    return bool(engine.memory["far-save"])


@contextmanager
def saved_there(
    engine: Engine, reference: str, without: Collection[str], count: Callable[[int], None]
) -> Iterator[Blocks]:
    """The archive of one image without some of its files; `count` is told of what crosses the link.

    Raises EngineError when `docker save` failed, once the archive is read to its end.
    """
    with _running(engine, _SAVE, [reference, *sorted(without)], count) as blocks:
        yield decompressed(blocks, f"the image {reference} as {engine.name} sends it")


def listed_there(engine: Engine, reference: str, count: Callable[[int], None]) -> dict[str, int]:
    """The files of an image's archive, and their sizes. Raises EngineError."""
    with _running(engine, _LIST, [reference], count) as blocks:
        text = b"".join(map(bytes, blocks)).decode(errors="surrogateescape")
    lines = (line.split(None, 5) for line in text.splitlines())
    return {words[5]: int(words[2]) for words in lines if words and words[0][0] == _FILE}


@contextmanager
def _running(
    engine: Engine, script: str, words: list[str], count: Callable[[int], None]
) -> Iterator[Blocks]:
    route = engine.route
    if not isinstance(route, SshRoute) or route.docker is None:
        raise EngineError(f"there is no shell on the host of {engine.url}")
    remote = route.host.start(script, *route.docker, *words)
    try:
        remote.sock.settimeout(None)

        def pieces() -> Iterator[Block]:
            while True:
                with route.reaching():
                    piece = remote.sock.recv(_BLOCK)
                if not piece:
                    break
                count(len(piece))
                yield piece
            done = route.host.ended(remote, _ENDS_WITHIN_S)
            if done is None or done.status:
                said = done.stderr.strip().rpartition("\n")[2] if done else "it does not end"
                raise EngineError(f"docker save on {engine.url} failed: {said}")

        yield pieces()
    finally:
        remote.close()
