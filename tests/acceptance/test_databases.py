"""Databases under load: dumped, copied, restored, with every row that was committed before."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import Voltar, until
from tests.acceptance.servers import MAKES, POSTGRES, WORD, Make, Server, serve
from tests.acceptance.test_jobs import configured
from tests.testbed import databases
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch

REDIS = "redis-server --dir /data --appendonly yes --appendfsync always"
SMALL = f"""
{REDIS} --daemonize yes >/dev/null
sqlite3 app.db 'pragma journal_mode = wal' >/dev/null
sqlite3 app.db 'create table t (i integer primary key, what text)'
until redis-cli ping >/dev/null; do sleep 0.1; done
i=0
while i=$((i + 1)); do
  redis-cli set k$i $i >/dev/null
  sqlite3 app.db "insert into t values ($i, hex(randomblob(500)))"
  echo $i
done
"""
EACH = pytest.mark.parametrize("make", MAKES, ids=lambda make: make.name)


@pytest.fixture(scope="module")
def shop(engine: Engine) -> Iterator[Server]:
    """A PostgreSQL that tests share."""
    with Scratch(engine) as scratch:
        yield serve(scratch, POSTGRES, filled=True)


def job(voltar: Voltar, server: Server, more: str) -> Voltar:
    return configured(voltar, f'[jobs.n]\ncontainers = ["{server.container}"]\n{more}\n')


@EACH
def test_a_dump_under_load_has_every_row_committed_before_it(
    make: Make, voltar: Voltar, scratch: Scratch
) -> None:
    server = serve(scratch, make, filled=True)
    with server.written_to() as load:
        before = load.committed
        job(voltar, server, f'dump = "{make.name}"')("run", "n")

    into = serve(scratch, make)
    done = voltar("restore", server.source, "--to", f"container:{into.container}")

    assert "dumped again and compared" in done.text
    whole, broken = into.rows()
    assert before <= whole
    assert broken == 0
    assert into.ask("select twice(21);") == ["42"]
    assert into.ask(make.clerks) == ["1"]


@EACH
def test_copies_of_a_stopped_and_of_a_paused_server_have_every_row_committed_before(
    make: Make, voltar: Voltar, scratch: Scratch, fresh: Any
) -> None:
    server = serve(scratch, make, filled=True)
    for way in ("pause", "stop"):
        with server.written_to() as load:
            before = load.committed
            job(voltar, server, f'quiesce = "{way}"')("run", "n")
        until(server.answers, what="the server, after the copy")
        copy = fresh()
        voltar("restore", f"volume:{server.volume}", "--to", copy)

        into = serve(scratch, make, volume=copy)

        whole, broken = into.rows()
        assert before <= whole, way
        assert broken == 0, way
        scratch.engine.docker("exec", into.container, *make.check)


def test_a_hot_copy_is_warned_of_refused_or_allowed(
    voltar: Voltar, shop: Server, scratch: Scratch
) -> None:
    source = f"volume:{shop.volume}"

    warned = voltar("backup", source, code=3)
    refused = job(voltar, shop, 'hot-copy = "refuse"')("run", "n", code=(1, 3))
    job(voltar, shop, 'hot-copy = "allow"')("run", "n")
    shop.engine.docker("pause", shop.container)
    reader = ["-v", f"{shop.volume}:/x:ro", "--entrypoint", "sleep"]
    scratch.running(databases.postgres(shop.engine), "300", options=reader)
    voltar("backup", source)
    shop.engine.docker("unpause", shop.container)

    assert f"PostgreSQL in use by {shop.container}" in warned.err
    assert 'choose --quiesce stop or pause, in a job quiesce or dump = "postgres"' in warned.err
    assert "hot-copy is refused" in refused.err
    assert len(voltar.ask("snapshots")) == 3


def test_beside_a_dump_only_the_configuration_is_copied_and_a_restore_says_so(
    voltar: Voltar, shop: Server, fresh: Any
) -> None:
    job(voltar, shop, 'dump = "postgres"')("run", "n")

    listed = voltar("ls", f"volume:{shop.volume}").text
    restored = voltar("restore", f"volume:{shop.volume}", "--to", fresh()).err
    assert f"stored beside it: dump:{shop.container}/postgres" in restored
    assert "postgresql.conf" in listed
    assert "pg_hba.conf" in listed
    assert "PG_VERSION" not in listed
    assert "pg_wal" not in listed


def test_a_hook_that_takes_too_long_ends_and_no_server_notices(
    voltar: Voltar, shop: Server
) -> None:
    """PostgreSQL takes what is killed without a parent for a server of its own that crashed."""
    began = "select min(backend_start) from pg_stat_activity;"
    before = shop.ask(began)
    command = 'command = ["sh", "-c", "sleep 987; true"], timeout = "1s", on-error = "warn"'
    hook = f'when = "before", container = "{shop.container}", {command}'
    told = job(voltar, shop, f'dump = "postgres"\nhooks = [{{ {hook} }}]')("run", "n", code=3)

    assert "took longer than 1s, and was killed" in told.err
    assert shop.ask(began) == before
    assert not any(b"sleep\x00987" in each for each in command_lines())


def test_a_password_stays_in_its_container(
    voltar: Voltar, scratch: Scratch, tmp_path: Path
) -> None:
    word = f"{WORD}-{os.getpid()}"  # in no other worker's command lines
    secret = tmp_path / "secret"
    secret.write_text(word)
    secret.chmod(0o644)
    options = ["-e", "LOCAL_AUTH=scram-sha-256", "-e", "POSTGRES_PASSWORD=", "-v", f"{secret}:/s"]
    options += ["-e", "POSTGRES_PASSWORD_FILE=/s"]
    # The test itself has it on its command lines.
    client = ("psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", f"postgresql://boss:{word}@/shop")
    server = serve(scratch, replace(POSTGRES, client=client), options=options, filled=True)
    with server.held():
        jobs = job(voltar, server, 'dump = "postgres"').changed(executed=True)
        run = jobs.start("-v", "run", "n")
        until(server.is_waiting, what="the dump")
        lines = list(command_lines())

    done = run.end()

    assert done.code == 0, str(done)
    assert any(b"pg_dump" in line for line in lines)
    assert not [line for line in lines if word.encode() in line and b"postgresql://" not in line]
    assert word not in done.said
    assert word.encode() not in (voltar.home / "state/history.sqlite").read_bytes()


@EACH
def test_a_dump_that_is_killed_in_its_middle_commits_nothing_and_leaves_nothing(
    make: Make, voltar: Voltar, scratch: Scratch
) -> None:
    server = serve(scratch, make, filled=True)
    server.ask("insert into debit values (1, 'x'); insert into credit values (1, 'x');")
    dump = f'dump = "{make.name}"\nexclude = ["volume:{server.volume}"]'
    jobs = job(voltar, server, dump)
    with server.held():
        with jobs.start("run", "n") as run:
            until(server.is_waiting, what="the dump")
            run.kill()
        until(lambda: not server.dumps(), what="the end of what dumps")

        with jobs.start("run", "n") as run:
            until(server.is_waiting, what="the dump")
            scratch.engine.docker("exec", server.container, "pkill", "-9", "-x", make.program)
            ended = run.end()

        with jobs.start("run", "n") as run:
            until(server.is_waiting, what="the dump")
            scratch.engine.docker("kill", server.container)
            died = run.end()

    down = job(voltar, server, f'dump = "{make.name}"')("run", "n", code=3)

    assert ended.code == 1, str(ended)
    assert "failed with status" in ended.err
    assert died.code == 1, str(died)
    assert f"{server.source} was not backed up" in died.err
    assert f"container '{server.container}' does not run" in down.err
    assert [one["source"] for one in voltar.ask("snapshots")] == [f"volume:{server.volume}"]
    said = scratch.engine.attempt("logs", server.container).stderr
    assert b"terminating any other active server processes" not in said


def test_a_restore_that_fails_drops_what_it_had_made(
    voltar: Voltar, scratch: Scratch, shop: Server
) -> None:
    # Its rows are restored before those that its check looks for.
    shop.ask(
        "create function found() returns boolean language sql as "
        "'select exists (select from public.debit)'; insert into debit values (1, 'x'); "
        "create table aaa (id int check (found())); insert into aaa values (1);"
    )
    job(voltar, shop, 'dump = "postgres"')("run", "n")
    into = serve(scratch, POSTGRES)

    failed = voltar("restore", shop.source, "--to", f"container:{into.container}", code=1)

    assert 'violates check constraint "aaa_check"' in failed.err
    assert "the server is as it was before" in failed.err
    assert into.ask("select count(*) from pg_tables where schemaname = 'public';") == ["0"]
    assert into.ask(POSTGRES.clerks) == ["0"]
    assert into.ask("select datname from pg_database order by 1;") == [
        *("postgres", "shop", "template0", "template1"),
    ]


@EACH
def test_a_restore_that_is_killed_is_refused_and_started_over_and_ends_with_the_dumps_passwords(
    make: Make, voltar: Voltar, scratch: Scratch
) -> None:
    server = serve(scratch, make, filled=True)
    server.ask("insert into debit values (1, 'x'); insert into credit values (1, 'x');")
    if make is POSTGRES:  # the restore takes its time there
        server.ask(
            "create function slow() returns boolean language sql as 'select pg_sleep(4) is not "
            "null'; create table aaa (id int check (slow())); insert into aaa values (1);"
        )
    jobs = job(voltar, server, f'dump = "{make.name}"\nexclude = ["volume:{server.volume}"]')
    jobs("run", "n")
    into = serve(scratch, other_password(make), options=["-e", "LOCAL_AUTH=scram-sha-256"])
    words = ("restore", server.source, "--to", f"container:{into.container}")

    with voltar.start(*words) as run:
        until(lambda: said_within(into, MIDST[make.name]) == b"1\n", what="the restore")
        run.kill()
    refused = voltar(*words, code=5)
    dumped = job(voltar, into, f'dump = "{make.name}"\nexclude = ["volume:{into.volume}"]')
    not_dumped = dumped("run", "n", code=1)
    done = voltar(*words, "--start-over")

    assert "holds a part of a dump" in refused.err
    assert "--start-over" in refused.err
    assert "holds a part of a dump" in not_dumped.err
    assert "passwords are those of the dump now" in done.err
    assert not into.answers()
    into = replace(into, make=with_password(make, WORD))
    assert into.rows() == (1, 0)
    assert into.ask(make.clerks) == ["1"]
    assert into.ask(MARKS[make.name]) == ["0"]


INNER = {"postgres": "postgres", "mariadb": "mysql"}
MIDST = {
    "postgres": "select count(*) from pg_stat_activity where query like 'COPY public.aaa%';",
    "mariadb": "select count(*) from information_schema.tables where table_name = 'theirs';",
}
MARKS = {
    "postgres": "select count(*) from pg_database where datname like 'voltar%';",
    "mariadb": "select count(*) from information_schema.schemata where schema_name like 'voltar%';",
}


def said_within(server: Server, statement: str) -> bytes:
    """What a server says, in its own database, or nothing: it may have others leave."""
    client = [each.replace("shop", INNER[server.make.name]) for each in server.make.client]
    words = ("exec", "-i", server.container, *client)
    return server.engine.attempt(*words, stdin=statement.encode()).stdout


def other_password(make: Make) -> Make:
    """A server of the same make whose password is another one."""
    words = [each.replace(WORD, "another-9") for each in make.environment]
    return replace(with_password(make, "another-9"), environment=words)


def with_password(make: Make, word: str) -> Make:
    """The same make, asked with a password."""
    if make is POSTGRES:
        client = ("psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", f"postgresql://boss:{word}@/shop")
        return replace(make, client=client)
    return replace(make, client=[each.replace(WORD, word) for each in make.client])


def test_a_server_that_holds_something_is_left_as_it_is(voltar: Voltar, shop: Server) -> None:
    job(voltar, shop, 'dump = "postgres"')("run", "n")
    shop.ask("insert into debit values (7, 'later') on conflict do nothing;")

    refused = voltar("restore", shop.source, "--to", f"container:{shop.container}", code=5)

    assert "holds shop: public." in refused.err
    assert shop.ask("select what from debit where id = 7;") == ["later"]
    assert voltar("restore", shop.source, "--to", "-").out.startswith(b"--\n-- PostgreSQL")


def test_what_was_proven_before_its_restore_was_killed_is_not_begun_anew(
    voltar: Voltar, shop: Server
) -> None:
    job(voltar, shop, 'dump = "postgres"')("run", "n")
    before = {"databases": [], "roles": [], "spaces": [], "wanted": ["shop"], "finished": True}
    mark = json.dumps({**before, "aside": {"shop": "voltar_before_1"}})
    shop.ask("create database voltar_before_1 is_template true allow_connections false;")
    shop.ask("create database voltar_restore_in_progress allow_connections false;")
    shop.ask(f"comment on database voltar_restore_in_progress is '{mark}';")
    words = ("restore", shop.source, "--to", f"container:{shop.container}", "--start-over")

    over = voltar(*words, code=5)

    assert "had proven it" in over.err
    assert shop.ask("select count(*) from pg_tables where tablename = 'debit';") == ["1"]
    assert shop.ask(MARKS["postgres"]) == ["0"]


def test_redis_and_sqlite_are_warned_of_and_whole_when_paused(
    voltar: Voltar, scratch: Scratch, fresh: Any
) -> None:
    image, volume, copy = databases.small(scratch.engine), scratch.volume(), fresh()
    name = scratch.running(image, "sh", "-c", SMALL, options=["-v", f"{volume}:/data"])

    def committed() -> int:
        return int((scratch.engine.docker("logs", "--tail", "1", name) or "0").split()[-1])

    until(lambda: committed() > 20, what="a committed row")
    hot = voltar("backup", f"container:{name}", code=3)
    before = committed()
    jobs = configured(voltar, f'[jobs.n]\ncontainers = ["{name}"]\nquiesce = "pause"\n')
    jobs("run", "n")
    voltar("restore", f"volume:{volume}", "--to", copy)
    scratch.engine.docker("rm", "-f", name)
    into = scratch.running(image, *REDIS.split(), options=["-v", f"{copy}:/data"])

    def ask(*words: str) -> str:
        return scratch.engine.attempt("exec", into, *words).stdout.decode().strip()

    until(lambda: ask("redis-cli", "dbsize").isdigit(), what="redis")
    assert "Redis in use by" in hot.err
    assert "SQLite in use by" in hot.err
    assert before <= int(ask("redis-cli", "dbsize"))
    assert ask("sqlite3", "app.db", "pragma integrity_check") == "ok"
    assert before <= int(ask("sqlite3", "app.db", "select count(*) from t"))


def command_lines() -> Iterator[bytes]:
    """What `ps` shows of every process of this machine, those in containers among them."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes()
