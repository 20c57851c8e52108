#!/usr/bin/env python3
"""Restores snapshots of a voltar repository without voltar. recover.txt beside this says more.

pip install zstandard cryptography blake3      # blake3 may be missing, see recover.txt

python3 recover.py list                        # which snapshots there are
python3 recover.py ls SNAPSHOT                 # what is in one
python3 recover.py extract SNAPSHOT DIRECTORY  # unpack it, by GNU tar; as root
python3 recover.py tar SNAPSHOT > x.tar        # or only make a tar file of it

SNAPSHOT is an id, the beginning of one, or a source (volume:pgdata): its newest. Exit codes: 0 all
is well, 1 failed, 2 wrong usage, 4 stored data are damaged, 6 no repository or not its password.
Nothing in the repository is ever changed.
"""

from __future__ import annotations

import argparse
import functools
import getpass
import hashlib
import hmac
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

try:
    import zstandard
except ImportError:
    sys.exit("recover.py needs the Python package zstandard: pip install zstandard")
try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:
    AESGCM = None  # type: ignore[assignment, misc]
try:
    from blake3 import blake3
except ImportError:
    blake3 = None  # type: ignore[assignment, misc]

ID = re.compile("[0-9a-f]{64}")
ENVELOPE = 46  # bytes at the beginning of each pack, index and snapshot
MALFORMED = (ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error)
TAR_OPTIONS = (
    "--preserve-permissions --numeric-owner --delay-directory-restore --acls"
    " --xattrs --xattrs-include=*"
)
UNCHECKED = {
    True: "every byte is authentic; names of files in the store were not checked: no blake3",
    False: "only the checksums of zstd were checked, no ids: install blake3 to check them",
}


class Problem(Exception):
    """What ends the program, in one sentence, with an exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class Damaged(Problem):
    """What is stored is not what was stored."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code=4)


def say(text: str) -> None:
    print(f"recover.py: {text}", file=sys.stderr, flush=True)


def hkdf(key: bytes, info: bytes, salt: bytes = bytes(32)) -> bytes:
    """Return a key of 32 bytes derived from another by HKDF-SHA-256 (RFC 5869)."""
    return hmac.new(hmac.new(salt, key, "sha256").digest(), info + b"\1", hashlib.sha256).digest()


def argon2id(password: bytes, by: dict[str, Any]) -> bytes:
    """Return the key that a password becomes, by whichever library is here."""
    memory, time, lanes = by["memory_kib"], by["iterations"], by["lanes"]
    if by["algorithm"] != "argon2id" or lanes > 64 or max(memory, memory * time >> 2) > 1 << 20:
        raise Damaged("it asks for another algorithm, or for more memory or time, than voltar does")
    salt = bytes.fromhex(by["salt"])
    try:
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
    except ImportError:  # before version 44
        try:
            from argon2.low_level import Type, hash_secret_raw
        except ImportError:
            raise Problem("this cryptography has no Argon2id: pip install argon2-cffi") from None
        return bytes(hash_secret_raw(password, salt, time, memory, lanes, 32, Type.ID))
    kdf = Argon2id(salt=salt, length=32, iterations=time, lanes=lanes, memory_cost=memory)
    return kdf.derive(password)


def decompressed(frame: bytes, limit: int) -> bytes:
    """Return the content of one zstd frame, which says its size and has a checksum."""
    try:
        if not 0 <= zstandard.frame_content_size(frame) <= limit:
            raise Damaged("it claims an impossible size")
        decompressor = zstandard.ZstdDecompressor().decompressobj()
        content = decompressor.decompress(frame)
    except zstandard.ZstdError as error:
        raise Damaged(f"its compressed data are damaged ({error})") from error
    if not decompressor.eof or decompressor.unused_data:
        raise Damaged("its compressed data are longer or shorter than they should be")
    return content


class Repository:
    """The files of a repository, and its keys (format.md, sections 3 to 7)."""

    def __init__(self, directory: Path, options: argparse.Namespace) -> None:
        self.directory = directory
        try:
            said = json.loads((directory / "voltar.json").read_bytes())
            version, self.id, self.encrypted = said["format"], said["id"], said["cipher"] != "none"
            self.largest_chunk = int(said["data_chunks"]["maximum"])
            self.master = bytes.fromhex(self.id)  # without encryption, known to everybody
        except FileNotFoundError:
            raise Problem(f"no voltar.json in {directory}: --repository says where", 6) from None
        except MALFORMED as error:
            raise Damaged(f"voltar.json is damaged ({error})") from error
        if version != 1:
            raise Problem(f"the repository has the format {version}, and this reads 1 only", 6)
        if self.encrypted:
            self.master = self.unlocked(password(options))
        elif options.password_file or "VOLTAR_PASSWORD" in os.environ:
            # somebody could have put an unencrypted repository in the place of yours
            raise Problem("a password was given, and this repository is not encrypted", 6)
        self.chunk_key = hkdf(self.master, b"voltar 1 chunk id")
        if blake3 is not None:
            bare = json.dumps({**said, "mac": ""}, separators=(",", ":")).encode()
            key = hkdf(self.master, b"voltar 1 descriptor")
            if blake3(bare, key=key).hexdigest() != said.get("mac"):
                raise Damaged("voltar.json is damaged or was tampered with: its mac does not fit")

    def unlocked(self, secret: bytes) -> bytes:
        """Return the master key, from the first key file that the password opens."""
        if AESGCM is None:
            raise Problem("an encrypted repository needs: pip install cryptography")
        for key_id in self.ids("keys"):
            data = (self.directory / "keys" / key_id).read_bytes()
            try:
                key = json.loads(data)
                nonce, wrapped = bytes.fromhex(key["nonce"]), bytes.fromhex(key["wrapped"])
                bare = data.replace(b'"wrapped":"%s"' % wrapped.hex().encode(), b'"wrapped":""')
                cipher = AESGCM(argon2id(secret, key["derivation"]))
                return cipher.decrypt(nonce, wrapped, self.id.encode() + bare)
            except InvalidTag:
                continue  # another password's
            except (Damaged, *MALFORMED) as error:
                say(f"keys/{key_id[:16]} cannot be used: {error}")
        raise Problem("the password opens no key of this repository", 6)

    def ids(self, kind: str) -> list[str]:
        """Return the ids of all objects of a kind."""
        directory = self.directory / kind
        return sorted(path.name for path in directory.glob("*") if ID.fullmatch(path.name))

    def unsealed(self, kind: str, envelope: bytes, data: bytes, nonce: int) -> bytes:
        """Decrypt a part of an object with this envelope; only who has the key can have made it."""
        if envelope[:14] != b"\x56\x2a\x4d\x18\x26\0\0\0VLTR\1" + bytes([self.encrypted]):
            raise Damaged("it does not begin as an object of this repository does")
        if not self.encrypted:
            return data
        key = hkdf(self.master, b"voltar 1 object " + kind.encode(), envelope[14:ENVELOPE])
        try:
            return AESGCM(key).decrypt(nonce.to_bytes(12, "big"), data, envelope)
        except (InvalidTag, ValueError) as error:
            raise Damaged("it is damaged or was tampered with") from error

    def record(self, kind: str, object_id: str) -> Any:
        """Return what an index or a snapshot says."""
        try:
            data = (self.directory / kind / object_id).read_bytes()
            if blake3 is not None and blake3(data).hexdigest() != object_id:
                raise Damaged("its bytes are not those that its name stands for")
            frame = self.unsealed(kind, data[:ENVELOPE], data[ENVELOPE:], 0)
            return json.loads(decompressed(frame, 1 << 30))
        except (Damaged, OSError, ValueError) as error:
            raise Damaged(f"{kind}/{object_id[:16]}: {error}") from error

    def tables(self, index: str) -> Any:
        """Return what an index says of packs."""
        return self.record("index", index)["tables"]

    def table(self, pack: str) -> Any:
        """Return what an index says of a pack, from the pack itself."""
        with (self.directory / "packs" / pack).open("rb") as file:
            envelope = file.read(ENVELOPE)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 4, 0))
            (length,) = struct.unpack("<I", file.read(4))
            start = size - length - 12
            if start < ENVELOPE:
                raise Damaged("it has no table at its end")
            file.seek(start + 8)
            frame = self.unsealed("packs", envelope, file.read(length), start)
        return [pack, envelope.hex(), size, json.loads(decompressed(frame, 1 << 28))]


class Chunks:
    """Finds and reads chunks. The index is in memory: some 500 MB for each TB that is stored."""

    def __init__(self, repository: Repository, rebuild: bool) -> None:
        self.repository = repository
        self.places: dict[bytes, list[tuple[str, bytes, int, int]]] = {}
        self.read = functools.lru_cache(maxsize=8)(self._read)
        packs = repository.ids("packs")
        waiting = set(packs)
        for of in packs if rebuild else repository.ids("index"):
            try:
                tables = [repository.table(of)] if rebuild else repository.tables(of)
                for pack, envelope, _, blobs in tables:
                    for chunk, offset, length, _ in blobs if pack in waiting else ():
                        place = (pack, bytes.fromhex(envelope), offset, length)
                        self.places.setdefault(bytes.fromhex(chunk), []).append(place)
                    waiting.discard(pack)
            except (Damaged, OSError, *MALFORMED) as error:
                if not rebuild:
                    raise Damaged(f"{error}; --rebuild reads the packs instead") from error
                say(f"packs/{of[:16]}: {error}; what only this pack has is lost")

    def _read(self, chunk: str) -> bytes:
        """Return a chunk, from any pack that has it whole."""
        problem = "no pack that is here and that the index knows has it; try --rebuild"
        for pack, envelope, offset, length in self.places.get(bytes.fromhex(chunk), ()):
            try:
                with (self.repository.directory / "packs" / pack).open("rb") as file:
                    file.seek(offset)
                    data = file.read(length)
                frame = self.repository.unsealed("packs", envelope, data, offset)
                found = decompressed(frame, self.repository.largest_chunk)
                key = self.repository.chunk_key
                if blake3 is None or blake3(found, key=key).hexdigest() == chunk:
                    return found
                problem = f"packs/{pack[:16]}: another chunk is in its place"
            except (Damaged, OSError) as error:
                problem = f"packs/{pack[:16]}: {error}"
        raise Damaged(f"chunk {chunk[:16]} cannot be read: {problem}")

    def piece(self, extent: Any) -> bytes:
        """Return the bytes that an extent stands for."""
        chunk, offset, length = extent
        found = self.read(chunk)[offset : offset + length]
        if offset < 0 or len(found) != length:
            raise Damaged(f"chunk {chunk[:16]} has fewer bytes than are asked of it")
        return found


class Contents:
    """The members of a snapshot, in order (format.md, section 9); `damages` counts what is lost."""

    def __init__(self, chunks: Chunks, record: Any, keep_going: bool) -> None:
        self.chunks = chunks
        self.record = record
        self.keep_going = keep_going
        self.damages = 0

    def lose(self, what: str, error: Exception) -> None:
        """Go on without something that is damaged, if that is wanted."""
        if not self.keep_going:
            raise Damaged(f"{what}: {error}; --keep-going restores the rest") from error
        self.damages += 1
        say(f"LOST: {what}: {error}")

    def lines(self) -> Iterator[Any]:
        """Yield the lines of the manifest; None where some are lost."""
        rest, gap = b"", False
        for extent in self.record["manifest"]:
            try:
                *lines, rest = (rest + self.chunks.piece(extent)).split(b"\n")
            except Damaged as error:
                self.lose("files that cannot be named, for a part of the list is damaged", error)
                rest, gap = b"", True
                yield None
                continue
            if gap:  # up to the first line's end it is the rest of a line whose beginning is lost
                gap, lines, rest = not lines, lines[1:], rest if lines else b""
            yield from map(json.loads, lines)

    def members(self) -> Iterator[tuple[list[Any], list[Any]]]:
        """Yield each member's line, and all its extents."""
        member: list[Any] = []
        try:
            for line in self.lines():
                if line is None or line[0] == "m":
                    if member:
                        yield member, member[11]
                    member = [*line, *[""] * (13 - len(line))] if line else []
                elif line[0] == "+" and member:
                    member[11] += line[1]
                elif line[0] == "!":
                    say(f"note of the backup: {shown(line[1])}: {shown(line[2])}")
        except MALFORMED as error:
            raise Damaged(f"the list of files is damaged ({error})") from error
        if member:
            yield member, member[11]

    def tar(self, out: IO[bytes]) -> None:
        """Write the tar stream: of each member its headers, its body, and what pads it."""
        lost: set[str] = set()
        ended = False
        for member, extents in self.members():
            _, path, kind, *_, head, body_size, _, padding = member[:13]
            try:
                self.look(member, extents, lost)
                out.write(expanded(head))
                for extent in extents:
                    out.write(self.chunks.piece(extent))
                out.write(expanded(padding) or bytes(-body_size % 512))
                ended = kind == "z"
            except (Damaged, *MALFORMED) as error:
                self.lose(shown(path), error)
                lost.add(path)
        if not ended:
            self.lose("the end of the archive", Damaged("it is not there"))
            out.write(bytes(1024))
        out.flush()

    def look(self, member: list[Any], extents: list[Any], lost: set[str]) -> None:
        """See that a member is whole, for what was written of a tar cannot be taken back.

        And that tar will take it for what the list says: nothing hides in headers or in the end.
        """
        _, path, kind, *_, link, head, body_size = member[:11]
        if sum(extent[2] for extent in extents) != body_size:
            raise Damaged("some of its pieces are not listed")
        listed = kind, names(expanded(path)), expanded(link), body_size
        if kind == "z":
            if head or any(self.beginning(extents, 512)):
                raise Damaged("it is called the end of the archive and is not")
        elif header_says(expanded(head)) != listed:
            raise Damaged("its tar header contradicts the list of files")
        if member[2] == "h" and re.sub("^(\\./)+|/+$", "", member[8]) in lost:
            raise Damaged("it is another name of a file that is lost")
        for extent in extents if self.keep_going else ():
            self.chunks.piece(extent)

    def beginning(self, extents: list[Any], size: int) -> bytes:
        """Return the first bytes of a body, which has at least so many."""
        begun = b""
        for extent in extents:
            begun += self.chunks.piece(extent)
            if len(begun) >= size:
                return begun[:size]
        raise Damaged("it is too short")


KINDS = {b"1": "h", b"2": "l", b"3": "c", b"4": "b", b"5": "d", b"6": "p", b"D": "d", b"V": "g"}
LONG = {b"L": b"path", b"K": b"linkpath"}  # GNU tar's headers for long names


def header_says(head: bytes) -> tuple[str, list[bytes], bytes, int]:
    """Return the kind, path, link and body size that tar reads in the headers of one member.

    Whatever is there beside extended headers, one header and the map of a sparse file is refused.
    """
    said, at = extended(head)
    if head[:512][156:157] == b"g":  # about all of an archive: it must not say what files are
        if at != len(head) or re.search(rb"^((link)?path|size|GNU\.)", b"\n".join(said), re.M):
            raise Damaged("its tar header is about other files")
        return "g", [], b"", 0
    block = checked(head, at)
    name, length, code, link, magic, prefix = struct.unpack("100s24x12s20xc100s6s82x155s12x", block)
    at, more = at + 512, code == b"S" and block[482]
    while more:
        more, at = head[at + 504], at + 512
    if at != len(head):
        raise Damaged("another tar header hides behind its own")
    name, link, prefix = (field.partition(b"\0")[0] for field in (name, link, prefix))
    if magic == b"ustar\0" and prefix:
        name = prefix + b"/" + name
    path = said.get(b"GNU.sparse.name", said.get(b"path", name))
    kind = KINDS.get(code, "f")
    if code in b"0\x007" and path.endswith(b"/") and b"GNU.sparse." not in b"".join(said):
        kind = "d"
    size = int(said.get(b"size", 0 if code in b"15" else number(length)))
    if kind == "g":
        path = link = b""
    return kind, names(path), said.get(b"linkpath", link), size


def extended(head: bytes) -> tuple[dict[bytes, bytes], int]:
    """Return what extended headers say, and where they end."""
    said: dict[bytes, bytes] = {}
    at = 0
    while head[at + 156 : at + 157] in (b"x", b"X", b"g", *LONG):
        kind, size = head[at + 156 : at + 157], number(checked(head, at)[124:136])
        text = head[at + 512 : at + 512 + size]
        at += 512 + size + -size % 512
        if kind in LONG:
            said.setdefault(LONG[kind], text.partition(b"\0")[0])
        while kind not in LONG and text.strip(b"\0"):  # "LENGTH KEY=VALUE" and a line's end
            length = int(text.partition(b" ")[0])
            key, _, value = text[: length - 1].partition(b" ")[2].partition(b"=")
            said[key], text = value, text[length:]
            if length < 5:
                raise Damaged("its tar header has a wrong length")
    return said, at


def checked(head: bytes, at: int) -> bytes:
    """Return a header block, whose checksum is right; tar would look for another one behind it."""
    block = head[at : at + 512]
    total, signed = sum(block) - sum(block[148:156]) + 256, sum(256 for byte in block if byte > 127)
    if len(block) != 512 or number(block[148:156]) not in (total, total - signed):
        raise Damaged("its tar header is damaged")
    return block


def number(field: bytes) -> int:
    """Return a number of a tar header: octal digits, or bytes where the first one says so."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
    return int(re.match(rb"\0?\s*([0-7]*)", field)[1] or b"0", 8)  # type: ignore[index]


def names(path: bytes) -> list[bytes]:
    """Return the names in a path; archives spell one path in several ways."""
    return [name for name in path.split(b"/") if name not in (b"", b".")]


def expanded(text: str) -> bytes:
    """Return the bytes of a text: a byte each character, or a run of zeros."""
    zeros = re.sub("[\ue004-\uf8ff]", lambda mark: "\0" * (ord(mark[0]) - 0xE000), text)
    return zeros.encode("latin-1")


def shown(text: str) -> str:
    """Return a path as it can be printed."""
    name = text.encode("latin-1", "replace").decode("utf-8", "backslashreplace") or "."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def password(options: argparse.Namespace) -> bytes:
    if options.password_file:
        return re.sub(rb"\r?\n\Z", b"", options.password_file.read_bytes())
    if "VOLTAR_PASSWORD" in os.environ:
        return os.environb[b"VOLTAR_PASSWORD"]
    return getpass.getpass("password of the repository: ").encode("utf-8", "surrogateescape")


def moment(record: Any) -> datetime:
    """Return when a snapshot was made, to the second."""
    return datetime.fromisoformat(re.sub(r"\.\d+", "", record["time"]).replace("Z", "+00:00"))


def snapshots(repository: Repository) -> tuple[list[Any], int]:
    """Return all snapshots, the oldest first, and how many are damaged.

    One that is marked as forgotten waits to be deleted; until then it is as good as any other.
    """
    found, damages = [], 0
    for snapshot_id in repository.ids("snapshots"):
        try:
            record = repository.record("snapshots", snapshot_id)
            forgotten = (repository.directory / "forgotten" / snapshot_id).exists()
            found.append((moment(record), record["time"], snapshot_id, record, forgotten))
        except (Damaged, *MALFORMED) as error:
            damages += 1
            say(f"damaged: {error}")
    return [each[2:] for each in sorted(found, key=lambda each: each[:3])], damages


def chosen(repository: Repository, wanted: str) -> tuple[str, Any]:
    """Return the id and the record of the snapshot that is asked for."""
    ids = [found for found in repository.ids("snapshots") if found.startswith(wanted)]
    if len(ids) == 1:
        return ids[0], repository.record("snapshots", ids[0])
    for snapshot_id, record, forgotten in reversed(snapshots(repository)[0] if not ids else []):
        if not forgotten and wanted in (record["source"], record["source"].partition(":")[2]):
            return snapshot_id, record
    raise Problem(f"{len(ids) or 'no'} snapshots are called {wanted!r}: `list` shows their ids")


def list_snapshots(repository: Repository) -> int:
    found, damages = snapshots(repository)
    for snapshot_id, record, forgotten in found:
        source, host = shown(record["source"]), shown(record["host"])
        size = f"{record.get('statistics', {}).get('size', 0)} bytes"
        facts = [snapshot_id[:10], str(moment(record)), source, size, f"from {host}"]
        print("  ".join(facts + ["forgotten"] * forgotten))
    return 4 if damages else 0


def list_contents(contents: Contents) -> None:
    for member, _ in contents.members():
        _, path, kind, mode, uid, gid, size, mtime_ns, link = member[:9]
        try:
            time = str(datetime(1970, 1, 1) + timedelta(seconds=mtime_ns // 10**9))
        except OverflowError:
            time = f"@{mtime_ns // 10**9}"
        if kind not in "gz":
            target = f" -> {shown(link)}" if link else ""
            print(f"{kind} {mode:04o} {uid}/{gid} {size:>12} {time} {shown(path)}{target}")


def extract(contents: Contents, directory: Path) -> None:
    """Unpack a snapshot by the system's tar; Python's knows no attributes and no access lists."""
    version = subprocess.run(["tar", "--version"], stdout=subprocess.PIPE, check=False).stdout
    if b"GNU tar" not in version:
        raise Problem("the tar of this system is not GNU tar; use `tar`, and extract it elsewhere")
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise Problem(f"{directory} is not empty")
    if os.geteuid() != 0:
        say("you are not root: owners, devices and some attributes will not be restored")
    owner = "--no-same-owner" if os.geteuid() else "--same-owner"
    command = ["tar", "--extract", f"--directory={directory}", owner, *TAR_OPTIONS.split()]
    process = subprocess.Popen([*command, "-f", "-"], stdin=subprocess.PIPE)
    try:
        with process:
            contents.tar(process.stdin)  # type: ignore[arg-type]
    except BrokenPipeError:
        pass  # tar says itself why it ended
    except Damaged as error:
        raise Damaged(f"{error}; {directory} is not complete") from error
    if process.returncode:
        failed = Damaged if contents.damages else Problem
        raise failed(f"tar failed, status {process.returncode}: {directory} is not complete")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("command", choices=["list", "ls", "tar", "extract"])
    add("snapshot", nargs="?", help="for all commands but list")
    add("directory", nargs="?", type=Path, help="for extract: new or empty")
    add("--repository", metavar="DIR", type=Path, help="if not where this script lies")
    add("--password-file", metavar="FILE", type=Path, help="else VOLTAR_PASSWORD, else a prompt")
    add("--rebuild", action="store_true", help="do not use index/, read the packs instead")
    add("--keep-going", action="store_true", help="leave out what is damaged, and name it")
    options = parser.parse_intermixed_args()
    given = (options.snapshot is not None) + (options.directory is not None)
    if given != {"list": 0, "extract": 2}.get(options.command, 1):
        parser.error(f"{options.command}: too few or too many arguments")
    if options.command == "tar" and sys.stdout.isatty():
        parser.error("tar: a tar file needs a pipe or a file to go to")
    return options


def main() -> int:
    options = parsed()
    repository = Repository(options.repository or Path(__file__).resolve().parent, options)
    if options.command == "list":
        return list_snapshots(repository)
    snapshot_id, record = chosen(repository, options.snapshot)
    contents = Contents(Chunks(repository, options.rebuild), record, options.keep_going)
    if options.command == "ls":
        list_contents(contents)
    elif options.command == "tar":
        contents.tar(sys.stdout.buffer)
    else:
        extract(contents, options.directory)
    if contents.damages:
        say(f"NOT complete: what is named above is lost, {contents.damages}; the rest is right")
        return 4
    checked = (
        "each chunk is what its id says" if blake3 is not None else UNCHECKED[repository.encrypted]
    )
    say(f"complete: {shown(record['source'])}, snapshot {snapshot_id[:10]}: {checked}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say("what reads the output has ended")
        sys.exit(1)
    except (Problem, OSError) as error:
        say(f"error: {error}")
        sys.exit(getattr(error, "code", 1))
    except KeyboardInterrupt:
        sys.exit(130)
