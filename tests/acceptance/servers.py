"""Real database servers in containers, and somebody who writes to them all the time."""

import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.acceptance.cli import until
from tests.testbed import databases
from tests.testbed.engine import Engine, docker_command
from tests.testbed.scratch import Scratch

WORD = "geheim-7f3a"
"""The password of every server."""


@dataclass(frozen=True, slots=True)
class Make:
    """A make of server. `transaction` writes row N to two tables, and tells N when it is
    committed.

    While `hold` runs, `program`, which dumps, waits in its middle, and `held` says 1 or more.
    """

    name: str
    image: Callable[[Engine], str]
    data: str
    environment: Sequence[str]
    client: Sequence[str]
    tables: str
    transaction: str
    check: Sequence[str]
    clerks: str
    hold: str
    held: str
    program: str


POSTGRES = Make(
    name="postgres",
    image=databases.postgres,
    data="/var/lib/postgresql/data",
    environment=(f"POSTGRES_PASSWORD={WORD}", "POSTGRES_USER=boss", "POSTGRES_DB=shop"),
    client=("psql", "-U", "boss", "-XAtqw", "-v", "ON_ERROR_STOP=1", "shop"),
    tables="create table debit (id int primary key, what text); "
    "create table credit (id int primary key, what text); "
    "create role clerk password 'clerk' login; grant select on debit to clerk; "
    "create function twice(int) returns int language sql as 'select 2 * $1'; "
    "create table varied (what text); alter table varied alter what set storage plain; "
    "insert into varied select repeat('x', i * 7919 % 1900) from generate_series(1, 999) as i;",
    transaction="begin; insert into debit values ($i, repeat(md5($i::text), 30)); "
    "insert into credit values ($i, repeat(md5($i::text), 30)); commit; select $i;",
    check=("pg_amcheck", "-U", "boss", "-w", "--all", "--install-missing", "--heapallindexed"),
    clerks="select count(*) from pg_roles where rolname = 'clerk';",
    hold="begin; lock table debit in access exclusive mode;",
    held="select count(*) from pg_stat_activity where application_name = 'pg_dump' "
    "and wait_event_type = 'Lock';",
    program="pg_dump",
)
MARIADB = Make(
    name="mariadb",
    image=databases.mariadb,
    data="/var/lib/mysql",
    environment=(f"MARIADB_ROOT_PASSWORD={WORD}", "MARIADB_DATABASE=shop"),
    client=("mariadb", "-uroot", f"-p{WORD}", "--unbuffered", "-N", "shop"),
    tables="create table debit (id int primary key, what text); "
    "create table credit (id int primary key, what text); "
    "create user clerk@'%' identified by 'clerk'; grant select on shop.debit to clerk@'%'; "
    "create function twice(a int) returns int deterministic return 2 * a;",
    transaction="begin; insert into debit values ($i, repeat(md5($i), 30)); "
    "insert into credit values ($i, repeat(md5($i), 30)); commit; select $i;",
    check=("mariadb-check", "-uroot", f"-p{WORD}", "--all-databases", "--silent"),
    clerks="select count(*) from mysql.user where user = 'clerk';",
    hold="lock tables debit write;",
    held="select count(*) from information_schema.processlist "
    "where state like 'Waiting for table metadata lock%';",
    program="mariadb-dump",
)
MAKES = (POSTGRES, MARIADB)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    make: Make
    engine: Engine
    container: str
    volume: str

    @property
    def source(self) -> str:
        return f"dump:{self.container}/{self.make.name}"

    def ask(self, statement: str) -> list[str]:
        """Run a statement; the lines of its answer."""
        said = self.engine.docker(
            "exec", "-i", self.container, *self.make.client, stdin=statement.encode()
        )
        return said.splitlines()

    def answers(self) -> bool:
        """Whether it is up, at its final place."""
        words = ("exec", "-i", self.container, *self.make.client)
        return self.engine.attempt(*words, stdin=b"select 1;").returncode == 0

    def rows(self) -> tuple[int, int]:
        """How many transactions it has, and how many of them are not whole or have a gap before."""
        both = "select count(*) from debit join credit using (id) where debit.what = credit.what;"
        one = "select count(*), coalesce(max(id), 0) from debit;"
        other = "select count(*), coalesce(max(id), 0) from credit;"
        whole, debit, credit = (self.ask(each)[0] for each in (both, one, other))
        counts = {int(each) for each in f"{debit} {credit}".replace("|", " ").split()}
        return int(whole), max(counts) - min(*counts, int(whole))

    def dumps(self) -> int:
        """How many programs that dump run in the container."""
        words = ("exec", self.container, "pgrep", "-c", self.make.program)
        return int(self.engine.attempt(*words).stdout or 0)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have every dump wait in its middle."""
        process = subprocess.Popen(
            [
                docker_command(),
                "exec",
                self.container,
                "sh",
                "-c",
                f"{{ echo '{self.make.hold}'; sleep 300; }} | \"$@\"",
                "-",
                *self.make.client,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.engine.environment,
        )
        try:
            yield
        finally:
            process.kill()
            process.wait()
            for name in ("sleep", self.make.client[0]):
                self.engine.attempt("exec", self.container, "pkill", "-x", name)

    def is_waiting(self) -> bool:
        """Whether a dump waits for the table; a server goes on waiting for a dead one."""
        return bool(self.dumps()) and self.ask(self.make.held)[0] != "0"

    @contextmanager
    def written_to(self) -> Iterator["Load"]:
        """Have somebody write until the `with` is left."""
        loop = 'i=$0; while :; do i=$((i + 1)); echo "%s"; done | exec "$@"'
        start = self.rows()[0]
        words = ["sh", "-c", loop % self.make.transaction, str(start), *self.make.client]
        process = subprocess.Popen(
            [docker_command(), "exec", self.container, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.engine.environment,
        )
        load = Load(process)
        try:
            until(lambda: load.committed > start + 20, what="a committed row")
            yield load
        finally:
            load.end()
            self.engine.attempt("exec", self.container, "pkill", "-x", self.make.client[0])


class Load:
    """Somebody who writes; `committed` is the last row of which the server said that it is."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.committed = 0
        self._process = process
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        stdout: Any = self._process.stdout
        for line in stdout:
            self.committed = int(line)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        stdout: Any = self._process.stdout
        stdout.close()


def serve(
    scratch: Scratch,
    make: Make,
    *,
    volume: str | None = None,
    options: Sequence[str] = (),
    filled: bool = False,
) -> Server:
    """Start a server on a volume, and wait for it; `filled` makes the tables."""
    image = make.image(scratch.engine)
    volume = volume or scratch.volume()
    environment = [word for each in make.environment for word in ("-e", each)]
    more = ["-v", f"{volume}:{make.data}", "--stop-timeout", "30", *environment, *options]
    if make.name == POSTGRES.name:
        more += ["--stop-signal", "SIGINT"]
    server = Server(make, scratch.engine, scratch.running(image, options=more), volume)
    until(server.answers, what=f"the {make.name}")
    if filled:
        server.ask(make.tables)
    return server
