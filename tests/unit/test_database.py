"""What is decided about databases without asking one."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.database.choice import dumps
from backup.database.contents import Contents, contents
from backup.database.danger import Directory, Seen, Sign, directory_of, judged, servers
from backup.database.dialect import DIALECTS
from backup.database.dump import Whole
from backup.database.kind import Kind, recognised
from backup.database.mariadb import sections
from backup.database.postgres import fitted
from backup.database.rows import Rows
from backup.engine import Container, Mount, User, Volume
from backup.errors import EngineError
from backup.repository import VolumeFacts
from backup.targets import Dump, Source

POSTGRES = DIALECTS[Kind.POSTGRES]
DUMP = b"""--
-- PostgreSQL database cluster dump
--
\\restrict abc
CREATE ROLE boss;
ALTER ROLE boss WITH SUPERUSER PASSWORD 'SCRAM';
CREATE ROLE "Clerk";
\\unrestrict abc

\\connect template1
-- Dumped from database version 15.18 (Debian)
CREATE DATABASE shop WITH TEMPLATE = template0;
\\connect shop
CREATE TABLE public.t (id integer, what text);
COPY public.t (id, what) FROM stdin;
1\t-- no comment
2\tCREATE ROLE boss;
\\.
COPY public.empty (id) FROM stdin;
\\.
SELECT pg_catalog.setval('public.s', 7, true);
-- PostgreSQL database cluster dump complete
--
"""
MARIADB = b"""-- MariaDB dump
-- Server version\t10.11.18-MariaDB
CREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop` /*!40100 DEFAULT */;
USE `shop`;
CREATE TABLE `t` (
  `id` int(11)
);
INSERT INTO `t` VALUES
(1,'a'),
(2,'b');
USE `mysql`;
INSERT INTO `proc` VALUES
('shop','twice','2026-11-28 12:13:11');
-- Dump completed on 2026-11-28 12:13:11
"""


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def definition(reference: str = "app", env: Iterable[str] = (), cmd: Iterable[str] = ()) -> Any:
    image = {"reference": reference, "tags": [], "config": {"Env": list(env)}}
    return {"image": image, "config": {"Entrypoint": None, "Cmd": list(cmd)}}


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (definition("postgres:17"), Kind.POSTGRES),
        (definition("registry.local:5000/team/postgis/postgis:16-3.4"), Kind.POSTGRES),
        (definition("mariadb@sha256:77"), Kind.MARIADB),
        (definition("mysql/mysql-server"), Kind.MYSQL),
        (definition("valkey/valkey:8"), Kind.REDIS),
        (definition("app", cmd=["/usr/sbin/mariadbd"]), Kind.MARIADB),
        (definition("app", env=["POSTGRES_PASSWORD=x"]), Kind.POSTGRES),
        (definition("prometheuscommunity/postgres-exporter"), None),
        (definition("phpmyadmin:5"), None),
        (definition("app", cmd=["node", "server.js"]), None),
    ],
)
def test_a_database_is_known_by_what_its_container_runs(told: Any, kind: Kind | None) -> None:
    assert recognised(told) == kind


def test_servers_are_known_by_their_files() -> None:
    names = [b"PG_VERSION", b"postmaster.pid", b"old/PG_VERSION", b"x/ibdata1", b"appendonlydir"]

    assert servers(names) == (
        Sign(Kind.POSTGRES, b"PG_VERSION"),
        Sign(Kind.MARIADB, b"x/ibdata1"),
        Sign(Kind.REDIS, b"appendonlydir"),
    )


def test_of_two_servers_only_the_one_that_was_dumped_is_left_out() -> None:
    signs = [Sign(Kind.POSTGRES, b"a [1]/PG_VERSION"), Sign(Kind.POSTGRES, b"b/PG_VERSION")]
    active = [User(id="1", name="db", running=True, paused=False)]

    seen = judged(signs, {b"a [1]"}, active)

    assert [each.path for each in seen.hot] == [b"b/PG_VERSION"]
    assert "/a\\ \\[1\\]/base" in seen.replaced
    assert judged([], {b""}, active) == Seen()


def test_a_data_directory_is_found_in_what_is_mounted() -> None:
    volume = mount("volume", "pgdata", "/var/lib/postgresql")
    bind = mount("bind", "/srv/app", "/var/lib/postgresql/data")
    source = Source("path:/srv", "/srv", "/x")
    named = Source("volume:pgdata", "pgdata", "/x", volume=VolumeFacts(name="pgdata"))

    inner = directory_of([volume, bind], PurePosixPath("/var/lib/postgresql/data/pg"))
    outer = directory_of([volume], PurePosixPath("/var/lib/postgresql/data/pg"))

    assert inner == Directory("/srv/app/pg", PurePosixPath())
    assert inner.within(source) == b"app/pg"
    assert inner.within(named) is None
    assert outer is not None
    assert outer.within(named) == b"data/pg"
    assert directory_of([volume], PurePosixPath("/data")) is None


def mount(kind: str, source: str, destination: str) -> Mount:
    volume = Volume(name=source, driver="local") if kind == "volume" else None
    return Mount(kind=kind, source=source, destination=destination, read_only=False, volume=volume)


@dataclass(frozen=True)
class Treated:
    dump: str | None


def test_a_job_dumps_what_serves_it_and_what_a_label_says() -> None:
    there = [
        container("db", definition("postgres")),
        container("web", definition("nginx")),
        container("odd", definition("own"), {"voltar.dump": "mariadb"}),
    ]
    said = {"db": Treated("postgres"), "web": Treated("postgres"), "odd": Treated("mariadb")}

    assert dumps(said, there) == (Dump("db", "postgres"), Dump("odd", "mariadb"))
    assert dumps({"web": Treated("postgres")}, there) == (Dump("web", "postgres"),)
    assert dumps({"web": Treated(None)}, there) == ()


def container(name: str, told: Any, labels: dict[str, str] | None = None) -> Container:
    return Container(
        id=name,
        name=name,
        running=True,
        paused=False,
        labels=labels or {},
        mounts=(),
        skipped=(),
        definition=told,
    )


@pytest.mark.parametrize("end", [len(DUMP) - 5, len(DUMP) // 2, 0])
def test_a_dump_that_is_cut_is_none(end: int) -> None:
    cut = Whole(POSTGRES, "db")
    list(cut.checked(pieces(DUMP[:end], 7)))

    with pytest.raises(EngineError, match="as a whole one does"):
        cut.demand()


def test_something_else_that_ends_like_a_dump_is_none() -> None:
    other = Whole(POSTGRES, "db")
    list(other.checked([b"x" + DUMP]))

    with pytest.raises(EngineError, match="does not begin"):
        other.demand()


@given(st.integers(1, 90))
def test_what_a_dump_holds_does_not_depend_on_how_it_comes(size: int) -> None:
    whole = contents([DUMP])

    assert contents(pieces(DUMP, size)) == whole
    assert contents(pieces(MARIADB, size)) == contents([MARIADB])
    assert whole.databases == (b"shop",)
    assert whole.version == b"15.18"
    assert contents([MARIADB]).databases == (b"`shop`",)
    assert [*contents([MARIADB]).tables] == [b"USE `shop`;\n `t`"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"1\t-- no", b"3\t-- no", "public.t (id, what) differs"),
        (b"COPY public.empty (id) FROM stdin;\n\\.\n", b"", "public.empty (id) is missing"),
        (b"7, true", b"8, true", "statements other than rows differ"),
        (b"SCRAM", b"OTHER", "statements other than rows differ"),
        (b"restrict abc", b"restrict xyz", None),
        (b"(Debian)", b"(other)", None),
    ],
)
def test_what_differs_between_two_dumps_is_said(old: bytes, new: bytes, said: str | None) -> None:
    found = contents([DUMP]).differences(contents([DUMP.replace(old, new)]))

    assert len(found) == (said is not None)
    assert all(str(said) in each for each in found)


def test_of_mariadb_rows_are_compared_and_not_what_it_writes_itself() -> None:
    held = contents([MARIADB])

    def differing(old: bytes, new: bytes) -> list[str]:
        return held.differences(contents([MARIADB.replace(old, new)]))

    assert differing(b"(2,'b')", b"(2,'c')") == ["USE `shop`;  `t` differs"]
    assert differing(b"12:13:11", b"13:00:00") == []
    assert differing(b"int(11)", b"int(10)") == ["statements other than rows differ"]


def test_rows_are_the_same_in_whatever_order_and_batches_they_come() -> None:
    rows = MARIADB.replace(b"(1,'a'),\n(2,'b');", b"(2,'b');\nINSERT INTO `t` VALUES\n(1,'a');")
    copied = DUMP.replace(b"2\tCREATE ROLE boss;\n", b"")
    copied = copied.replace(b"1\t--", b"2\tCREATE ROLE boss;\n1\t--")

    assert contents([MARIADB]).differences(contents([rows])) == []
    assert contents([DUMP]).differences(contents([copied])) == []
    assert contents([DUMP]).differences(contents([copied.replace(b"2\tC", b"1\t")])) != []


@given(st.lists(st.integers(0, 200_000), min_size=1, max_size=4), st.integers(900, 150_000))
def test_rows_of_any_length_are_told_apart_wherever_their_blocks_end(
    lengths: list[int], size: int
) -> None:
    lines = [b"x" * length for length in lengths]
    whole, other = Rows(), Rows()
    for piece in pieces(b"\n".join(lines), size):
        whole.update(piece)
    other.update(b"\n".join(reversed(lines)))

    assert whole.hexdigest() == other.hexdigest()
    other.update(b"x")
    assert whole.hexdigest() != other.hexdigest()


def test_a_table_with_as_many_columns_as_there_can_be_has_its_rows() -> None:
    columns = ", ".join(f'"{"ü" * 28}{number:06}"' for number in range(1600)).encode()
    dump = DUMP.replace(b"(id, what) FROM", b"(" + columns + b") FROM")

    assert contents(pieces(dump, 5000)).tables.keys() == contents([dump]).tables.keys()
    assert len(contents(pieces(dump, 5000)).tables) == 2


def test_servers_of_other_versions_are_compared_by_their_rows() -> None:
    newer = DUMP.replace(b"15.18", b"16.1").replace(b"WITH TEMPLATE", b"STRATEGY x TEMPLATE")

    held: Contents = contents([DUMP])

    assert held.differences(contents([newer])) == []
    assert held.differences(contents([newer.replace(b"1\t--", b"9\t--")])) != []


@given(st.integers(1, 200))
def test_only_what_is_said_of_roles_that_are_there_waits_and_no_row_does(size: int) -> None:
    late: list[bytes] = []

    fed = b"".join(bytes(each) for each in fitted(pieces(DUMP, size), ["boss"], late))

    said = [b"CREATE ROLE boss;\n", b"ALTER ROLE boss WITH SUPERUSER PASSWORD 'SCRAM';\n"]
    assert late == said
    assert fed == DUMP.replace(b"".join(said), b"", 1)


SECTIONS = (
    b"-- MariaDB dump\nSET x;\n",
    b"\n--\n-- Current Database: `mysql`\n--\nUSE `mysql`;\n",
    b"\n--\n-- Current Database: `a``b`\n--\n"
    b"INSERT INTO `t` VALUES\n('-- Current Database: `c`');\n",
    b"\n/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;\n-- Dump completed\n",
)


@pytest.mark.parametrize("size", [1, 7, 64, 5000])
def test_a_dump_is_divided_by_databases_wherever_its_blocks_end(size: int) -> None:
    rows = b"('x'),\n" * 1000
    dump = b"".join(SECTIONS).replace(b"('--", rows + b"('--")
    found: dict[bytes, bytes] = {}

    for name, piece in sections(pieces(dump, size)):
        found[name] = found.get(name, b"") + piece

    assert list(found) == [b"", b"`mysql`", b"`a``b`"]
    assert found[b""] == SECTIONS[0] + SECTIONS[3]
    assert found[b"`mysql`"] == SECTIONS[1]
    assert rows in found[b"`a``b`"]
