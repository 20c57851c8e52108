"""The way to an engine over SSH: one connection for its API, for bulk data, and for a shell.

The API goes through `docker system dial-stdio` on the far host, which connects its own stdin and
stdout to the engine that this account uses (its DOCKER_HOST, its context). Where there is no docker
command, socat or nc connect to the socket.
"""

import socket
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from backup.engine.address import Address
from backup.engine.door import unavailable
from backup.engine.far import Nests
from backup.engine.farhost import Host, Seen, on_this_machine, unreachable, with_our_files
from backup.engine.machine import FarMachine, Machine
from backup.engine.shelf import Shelf
from backup.errors import EngineUnavailable
from transports.errors import TransportError
from transports.ssh import Options, Remote, open_link

SOCKET = "/var/run/docker.sock"
ALIVE_WITHIN_S = 5.0
SETTLES_WITHIN_S = 1.0


class SshRoute:
    """An SSH connection to an engine's host."""

    def __init__(self, address: Address, options: Options) -> None:
        """Connect and authenticate. Raises EngineUnavailable."""
        self.address = address
        try:
            self._link = open_link(address.login, options)
        except TransportError as err:
            raise unreachable(address, err) from err
        self.host = Host(self._link, address)
        self._nests = Nests(self.host)
        self._dialled: deque[Remote] = deque()
        try:
            self._seen = self.host.look()
            self._way = way(address, self._seen)
        except BaseException:
            self.close()
            raise
        self.near = on_this_machine(self._seen)
        self.shares_paths = with_our_files(self._seen)

    @property
    def docker(self) -> tuple[str, str] | None:
        """The docker command of the far host and the engine that it has to be told of, or ""."""
        program = self._seen.programs.get("docker")
        if program is None:
            return None
        return program, f"unix://{self.address.path}" if self.address.path else ""

    def dial(self) -> socket.socket:
        """Open a blocking connection to the engine. Raises EngineUnavailable."""
        self._forget_closed()
        remote = self.host.start('exec "$@"', *self._way)
        self._dialled.append(remote)
        return remote.sock

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """Translate whatever goes wrong on the way to the engine into EngineUnavailable."""
        try:
            yield
        except TransportError as err:
            raise unreachable(self.address, err) from err
        except OSError as err:
            raise self._explained(err) from err

    def shelves(self) -> Sequence[Shelf]:
        """Directories of the far host."""
        named = ["/run"] if self._seen.user == 0 else [self._seen.runtime]
        places = dict.fromkeys(one for one in (*named, self._seen.temporary) if one)
        return [
            Shelf(f"{place} on {self._link.url}", partial(self._nests.fresh, place), linked=True)
            for place in places
        ]

    def machines(self) -> Sequence[Machine]:
        """The far host."""
        return (FarMachine(self.host),)

    def close(self) -> None:
        """End the connection; what it made on the far host goes with it."""
        self._nests.close()
        while self._dialled:
            self._dialled.pop().close()
        self._link.close()

    def _forget_closed(self) -> None:
        """Let go of the commands whose sockets were closed by those who used them."""
        for _ in range(len(self._dialled)):
            remote = self._dialled.popleft()
            if remote.sock.fileno() < 0:
                remote.close()
            else:
                self._dialled.append(remote)

    def _explained(self, err: OSError) -> EngineUnavailable:
        """What the far host says about a connection that broke."""
        try:
            for number, remote in enumerate(reversed(self._dialled)):
                done = remote.finished(0 if number else SETTLES_WITHIN_S)
                if done is not None and done.status and done.stderr:
                    return complaint(self.address, self._way[0], done.stderr)
            if isinstance(err, TimeoutError) or "timed out" in str(err):
                self._link.run(["true"], timeout_s=ALIVE_WITHIN_S)
        except TransportError as lost:
            self._link.close()  # or every step of the cleaning up would wait as long
            return unreachable(self.address, lost)
        return unavailable(self.address, err)


def way(address: Address, seen: Seen) -> list[str]:
    """Return the command that connects to the engine's socket. Raises EngineUnavailable."""
    programs = seen.programs
    if "docker" in programs:
        named = ["--host", f"unix://{address.path}"] if address.path else []
        return [programs["docker"], *named, "system", "dial-stdio"]
    where = address.path or seen.docker_host.removeprefix("unix://") or SOCKET
    if where.startswith("/"):
        if "socat" in programs:
            return [programs["socat"], "-", f"UNIX-CONNECT:{where}"]
        if "nc" in programs:
            return [programs["nc"], "-N", "-U", where]
        if "ncat" in programs:
            return [programs["ncat"], "-U", where]
    raise EngineUnavailable(
        f"cannot reach the Docker engine at {address.told}: "
        "that host has no docker command, nor socat or nc to reach the engine's socket with",
        hint="install the docker client there, or socat; is it in the PATH of `ssh HOST docker`?",
    )


def complaint(address: Address, program: str, stderr: str) -> EngineUnavailable:
    """The sentence for what the command on the far host says, and a hint where we know one."""
    said = stderr.strip().rpartition("\n")[2]
    hint = None
    lower = said.lower()
    if "permission denied" in lower:
        hint = "that user must be allowed to use the engine: the group docker on that host"
    elif "connect to the docker daemon" in lower or "connection refused" in lower:
        hint = "start the engine on that host (systemctl start docker)"
    elif "dial-stdio" in lower:
        hint = "a docker command of 18.09 or newer is needed on that host"
    name = program.rpartition("/")[2]
    return EngineUnavailable(
        f"cannot reach the Docker engine at {address.told}: {name} on that host says: {said}",
        hint=hint,
    )
