"""Dumps of servers with odd names and all sorts of objects: taken back, and fed back."""

from dataclasses import dataclass

import pytest

from tests.acceptance.cli import Voltar, until
from tests.acceptance.servers import MARIADB, POSTGRES, Make, Server, serve
from tests.acceptance.test_databases import MARKS, job, said_within
from tests.testbed.scratch import Scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """`prepare` runs in every server's container, `before` in every server, `make` in the one that
    is dumped; after `spoil` nobody can restore its dump. `there` says what a server has."""

    server: Make
    prepare: str
    before: str
    make: str
    spoil: str
    mend: str
    there: str
    held: list[str]
    asked: str
    said: str


POSTGRES_ODD = Odd(
    server=POSTGRES,
    prepare="""
cd /usr/share/postgresql/15/extension
echo "default_version='1'" >odd.control
echo "create table odd (id serial primary key); create type odd_pair as (a int, b int);
create function odd_f() returns int language sql as 'select 1';" >odd--1.sql
install -d -o postgres /fast
""",
    before="create extension odd; create database sample is_template true;",
    make=r'''
create role "Ann ""Ü"""; create role "-b" login; grant "Ann ""Ü""" to "-b" with admin option;
create tablespace fast owner "-b" location '/fast';
create table "A b" ("Ü;" text, g int generated always as (length("Ü;")) stored) tablespace fast;
insert into "A b" values (E'\\.\n--\n\tx'), (null);
alter table "A b" enable row level security;
create policy p on "A b" to "-b" using (false);
create view one as select * from "A b"; create materialized view two as select g from one;
create function told() returns event_trigger language plpgsql as 'begin raise notice ''x''; end';
create event trigger tells on ddl_command_end execute function told();
select lo_from_bytea(4711, '\x00ff');
create database "-größe ""q'' "" \" owner "-b" tablespace fast;
create database "Latin" template template0 encoding 'LATIN1' locale 'C';
''',
    spoil="create table late (i int); insert into late values (1); "
    "create function found() returns boolean language sql "
    "as 'select exists (select from public.late)'; "
    "create table early (i int check (found())); insert into early values (1);",
    mend="drop table early;",
    there="select datname from pg_database union select rolname from pg_roles "
    "where rolname !~ '^pg_' union select spcname from pg_tablespace;",
    held=["-größe \"q'' \" \\", "Latin", 'Ann "Ü"', "-b", "fast"],
    asked="select encode(lo_get(4711), 'hex');",
    said="00ff",
)
MARIADB_ODD = Odd(
    server=MARIADB,
    prepare="true",
    before="set global sql_mode = 'NO_BACKSLASH_ESCAPES,EMPTY_STRING_IS_NULL,ANSI_QUOTES'; "
    "set global event_scheduler = on; set names utf8mb4; create database `größe`; "
    "create user was@'%';",
    make=r"""
set names utf8mb4; set sql_mode = '';
create user ann@'%' identified by 'x'; grant all on *.* to ann@'%';
create database `A b``-`; create database `-dash`;
create table `größe`.`t b` (id int primary key, b int, w varchar(20) character set latin1,
  g int as (id * 2) stored, key (b, id));
insert into `größe`.`t b` (id, b, w) values (1, 2, 'ü\n(1,''x'');'), (2, 1, null);
create table past (i int) with system versioning;
insert into past values (1); update past set i = 2;
create definer=ann@'%' view shop.one as select * from `größe`.`t b`;
create definer=ann@'%' view `-dash`.two as select * from shop.one;
create table ticks (t datetime(6));
create event each_second on schedule every 1 second do insert into ticks values (now(6));
set sql_mode='NO_BACKSLASH_ESCAPES,ANSI_QUOTES';
create definer=ann@'%' event shop.e on schedule every 1 day do delete from `größe`.`t b`;
create definer=ann@'%' trigger `größe`.tr before insert on `t b` for each row set new.w = 'a\b';
""",
    spoil="create table late (i int check (i > 1)); set check_constraint_checks = 0; "
    "insert into late values (1);",
    mend="drop table shop.late;",
    there="set names utf8mb4; select schema_name from information_schema.schemata union "
    "select concat(user, '@') from mysql.user;",
    held=["A b`-", "-dash", "ann@"],
    asked="select concat(count(*), @@event_scheduler) from past for system_time all;",
    said="2ON",
)


@pytest.mark.parametrize("odd", [POSTGRES_ODD, MARIADB_ODD], ids=lambda odd: odd.server.name)
def test_what_is_odd_is_taken_back_where_a_restore_fails_and_restored_where_it_does_not(
    odd: Odd, voltar: Voltar, scratch: Scratch
) -> None:
    server, into = served(scratch, odd), served(scratch, odd)
    server.ask(odd.make + odd.spoil)
    jobs = job(voltar, server, f'dump = "{odd.server.name}"\nexclude = ["volume:*"]')
    words = ("restore", server.source, "--to", f"container:{into.container}")
    jobs("run", "n")
    before = sorted(into.ask(odd.there))

    failed = voltar(*words, code=1)
    taken_back = sorted(into.ask(odd.there))
    server.ask(odd.mend)
    jobs("run", "n")
    voltar(*words)

    assert "the server is as it was before" in failed.err
    assert taken_back == before
    assert sorted({*into.ask(odd.there)} - {*before}) == sorted(odd.held)
    assert into.ask(odd.asked) == [odd.said]


def served(scratch: Scratch, odd: Odd) -> Server:
    server = serve(scratch, odd.server)
    scratch.engine.docker("exec", server.container, "sh", "-ec", odd.prepare)
    server.ask(odd.before)
    return server


def test_a_restore_into_a_full_disk_fails_and_can_be_started_over_when_there_is_room(
    voltar: Voltar, scratch: Scratch
) -> None:
    """A PostgreSQL without room ends by itself, amid of what it was asked to take back as well."""
    server = serve(scratch, POSTGRES, filled=True)
    server.ask(
        "alter table debit alter what set storage external; insert into debit "
        "select i, repeat(md5(i::text), 300) from generate_series(1, 999) as i;"
    )
    job(voltar, server, 'dump = "postgres"\nexclude = ["volume:*"]')("run", "n")
    small = ("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=160m")
    into = serve(scratch, POSTGRES, volume=scratch.volume(*small))
    options = ["-v", f"{into.volume}:/x", "--entrypoint", "sleep"]
    keeper = scratch.running(POSTGRES.image(scratch.engine), "300", options=options)
    scratch.engine.docker("exec", keeper, "dd", "if=/dev/zero", "of=/x/b", "bs=1M", "count=84")
    words = ("restore", server.source, "--to", f"container:{into.container}")

    failed = voltar(*words, code=1)
    scratch.engine.docker("exec", keeper, "rm", "/x/b")
    scratch.engine.docker("start", into.container)
    until(lambda: said_within(into, "select 1;") == b"1\n", what="the server")
    voltar(*words, "--start-over")

    assert "No space left on device" in failed.err
    assert into.ask("select count(*) from debit;") == ["999"]
    assert into.ask(MARKS["postgres"]) == ["0"]
