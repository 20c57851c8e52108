"""The five verbs by rclone's API.

No remote that rclone knows refuses to replace an object, so voltar looks before it writes. Where a
half-written file would be seen (a disk, SFTP, WebDAV: rclone says so of each remote), data go to a
name below tmp/ first and are moved; elsewhere a put is atomic.
"""

import contextlib
import json
import secrets
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

from transports.errors import ConnectionLost, ObjectNotFound, Refused, TransportError
from transports.store.protocol import Buffer, ObjectInfo, WriteOnce, check_name, is_name
from transports.store.rclone.daemon import Daemon, Reply
from transports.store.rclone.failure import failure
from transports.store.timing import SMALL_WITHIN_S, within_s
from transports.store.writing import Turns, is_there

_TEMPORARY: Final = "tmp"
_STALE_AFTER: Final = timedelta(days=1)


Entries = list[dict[str, Any]]


class RcloneStore:
    """Objects below a path of one remote, until it is closed."""

    def __init__(self, remote: str, daemon: Daemon) -> None:
        """`remote` is what rclone calls it: "name:path"."""
        self._remote = remote
        self._daemon = daemon
        self._turns = Turns()
        self._lock = threading.Lock()
        self._features: dict[str, Any] | None = None
        self._place_seen = False

    @property
    def url(self) -> str:
        return f"rclone:{self._remote}"

    @property
    def parallel(self) -> int:
        return 4

    @property
    def write_once(self) -> WriteOnce:
        return WriteOnce.ASKED

    def create(self) -> None:
        self._demand(self._rpc("operations/mkdir", remote=""), f"make {self.url}")

    def put(self, name: str, data: Buffer) -> None:
        check_name(name)
        act = f"store {name} in {self.url}"
        with self._turns.of(name):
            if is_there(self, name, data):
                return
            self._prepare(act)
            if not self._feature("PartialUploads", act):
                self._upload(name, data, act)
                return
            temporary = f"{_TEMPORARY}/{name.replace('/', '-')}.{secrets.token_hex(6)}"
            try:
                self._upload(temporary, data, act)
                self._move(temporary, name, act)
            except BaseException:
                with contextlib.suppress(TransportError):
                    self._rpc("operations/deletefile", remote=temporary)
                raise

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        check_name(name)
        act = f"read {name} in {self.url}"
        size = self._size(name, act)
        end = size if length is None else min(size, offset + length)
        if offset >= end:
            return b""
        part = {} if (offset, end) == (0, size) else {"Range": f"bytes={offset}-{end - 1}"}
        target = quote(f"/[{self._remote}]/{name}", safe="/[]:")
        reply = self._daemon.call("GET", target, headers=part, within_s=within_s(end - offset))
        data = self._demand(reply, act)
        if reply.status == 200 and len(data) == size:
            return data[offset:end]
        if len(data) != end - offset:
            raise ConnectionLost(f"cannot {act}: {len(data)} bytes came of {end - offset}")
        return data

    def list(self, kind: str) -> Iterator[ObjectInfo]:
        act = f"list {kind} in {self.url}"
        options = {"noModTime": True, "noMimeType": True, "filesOnly": True}
        for entry in self._listing(kind, options, act):
            name = f"{kind}/{entry['Name']}"
            if is_name(name):
                yield ObjectInfo(name, int(entry["Size"]))

    def stat(self, name: str) -> ObjectInfo:
        check_name(name)
        return ObjectInfo(name, self._size(name, f"look at {name} in {self.url}"))

    def delete(self, name: str) -> None:
        check_name(name)
        reply = self._rpc("operations/deletefile", remote=name)
        if reply.status != 404:
            self._demand(reply, f"delete {name} in {self.url}")

    def close(self) -> None:
        self._daemon.close()

    def _prepare(self, act: str) -> None:
        """Once, see that the place is there, and remove what writers killed long ago left."""
        with self._lock:
            if self._place_seen:
                return
            if self._feature("CanHaveEmptyDirectories", act):
                reply = self._rpc("operations/list", remote="", opt={"noModTime": True})
                if reply.status == 404:
                    raise Refused(
                        f"cannot {act}: the place is not there",
                        hint="is the disk mounted? a new repository is made by `voltar init`",
                    )
                self._demand(reply, act)
            self._sweep(act)
            self._place_seen = True

    def _sweep(self, act: str) -> None:
        for entry in self._listing(_TEMPORARY, {"filesOnly": True, "noMimeType": True}, act):
            with contextlib.suppress(ValueError, Refused):
                written = datetime.fromisoformat(entry["ModTime"])
                if written < datetime.now(UTC) - _STALE_AFTER:
                    remote = f"{_TEMPORARY}/{entry['Name']}"
                    self._demand(self._rpc("operations/deletefile", remote=remote), act)

    def _listing(self, kind: str, options: dict[str, bool], act: str) -> Entries:
        reply = self._rpc("operations/list", remote=kind, opt=options)
        if reply.status == 404:
            return []  # no directory
        found: Entries = self._answer(reply, act)["list"]
        return found or []

    def _feature(self, name: str, act: str) -> bool:
        if self._features is None:
            self._features = self._answer(self._rpc("operations/fsinfo"), act)["Features"]
        return bool(self._features.get(name))

    def _size(self, name: str, act: str) -> int:
        options = {"noModTime": True, "noMimeType": True}
        reply = self._rpc("operations/stat", remote=name, opt=options)
        item = None if reply.status == 404 else self._answer(reply, act)["item"]
        if item is None or item["IsDir"]:
            raise ObjectNotFound(f"cannot {act}: it is not there")
        return int(item["Size"])

    def _upload(self, name: str, data: Buffer, act: str) -> None:
        directory, _, file = name.rpartition("/")
        boundary = secrets.token_hex(16)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        reply = self._daemon.call(
            "POST",
            "/operations/uploadfile?" + urlencode({"fs": self._remote, "remote": directory}),
            (head, memoryview(data).cast("B"), f"\r\n--{boundary}--\r\n".encode()),
            {"Content-Type": f"multipart/form-data; boundary={boundary}"},
            within_s=within_s(memoryview(data).nbytes),
        )
        self._demand(reply, act)

    def _move(self, source: str, target: str, act: str) -> None:
        reply = self._rpc(
            "operations/movefile",
            srcFs=self._remote,
            srcRemote=source,
            dstFs=self._remote,
            dstRemote=target,
        )
        self._demand(reply, act)

    def _rpc(self, command: str, **values: Any) -> Reply:
        body = json.dumps({"fs": self._remote, **values}).encode()
        headers = {"Content-Type": "application/json"}
        return self._daemon.call("POST", f"/{command}", (body,), headers, within_s=SMALL_WITHIN_S)

    def _answer(self, reply: Reply, act: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._demand(reply, act))
        return found

    def _demand(self, reply: Reply, act: str) -> bytes:
        """Return the body of an answer that is none of failure."""
        if reply.status in (200, 206):
            return reply.body
        raise failure(reply, act)
