"""Who is stopped together, in which order, and whom voltar refuses to stop."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.config import Hook, Quiesce, When
from backup.engine import Attached, Container, Mount, Volume
from backup.quiesce.plan import Order, Unit, ordered, units
from backup.quiesce.window import own_container
from backup.repository import VolumeFacts
from backup.selection.resolve import Treatment
from backup.targets import Group, Source

STOP = Treatment(quiesce=Quiesce.STOP)
PAUSE = Treatment(quiesce=Quiesce.PAUSE)
ALL = Order(treatments={}, otherwise=STOP)


def mount(source: str, *, read_only: bool = False) -> Mount:
    """A mount of a volume by its name, or of a path of the host."""
    if source.startswith("/"):
        return Mount(kind="bind", source=source, destination="/m", read_only=read_only)
    place = f"/var/lib/docker/volumes/{source}/_data"
    volume = Volume(name=source, driver="local", mountpoint=place)
    return Mount(kind="volume", source=source, destination="/m", read_only=read_only, volume=volume)


def container(name: str, *mounts: str | Mount, **more: Any) -> Container:
    """A container that runs, unless told otherwise; `host` and `config` are of its definition."""
    host: Mapping[str, Any] = more.pop("host", {})
    config: Mapping[str, Any] = more.pop("config", {})
    given: dict[str, Any] = {"running": True, "paused": False, "labels": {}} | more
    return Container(
        id=f"id-of-{name}",
        name=name,
        mounts=tuple(each if isinstance(each, Mount) else mount(each) for each in mounts),
        skipped=(),
        definition={"host_config": host, "config": config},
        **given,
    )


def service(name: str, *needs: str, project: str = "shop", mounts: Sequence[str] = ()) -> Container:
    """A container of a compose project that depends on other services."""
    needed = ",".join(f"{each}:service_started:false" for each in needs)
    labels = {
        "com.docker.compose.project": project,
        "com.docker.compose.service": name,
        "com.docker.compose.container-number": "1",
        "com.docker.compose.depends_on": needed,
    }
    return container(f"{project}-{name}-1", *mounts, labels=labels)


def group(*names: str) -> Group:
    """What one helper sees: volumes by name, and paths."""
    sources = []
    for name in names:
        if name.startswith("/"):
            sources.append(Source(f"path:{name}", name, name, places=(name,)))
            continue
        facts = VolumeFacts(name=name, driver="local")
        places = (f"/var/lib/docker/volumes/{name}/_data",)
        sources.append(Source(f"volume:{name}", name, "/m", volume=facts, places=places))
    return Group((Attached(names[0], "/m"),), tuple(sources))


def planned(
    groups: Sequence[Group], *containers: Container, order: Order = ALL
) -> tuple[Unit, ...]:
    return units(groups, containers, order)


def names(unit: Unit) -> list[str]:
    return [each.name for each in unit.quieted]


def test_who_may_write_to_a_source_is_stopped_and_nobody_else() -> None:
    reader = container("reader", mount("data", read_only=True))

    (unit,) = planned(
        [group("data")], container("writer", "data"), reader, container("other", "elsewhere")
    )

    assert names(unit) == ["writer"]


def test_sources_with_a_common_user_are_one_unit_and_others_are_not() -> None:
    found = planned(
        [group("a"), group("b"), group("c")],
        container("both", "a", "c"),
        container("one", "b"),
    )

    assert [[each.name for each in unit.sources] for unit in found] == [
        ["volume:a", "volume:c"],
        ["volume:b"],
    ]
    assert [names(unit) for unit in found] == [["both"], ["one"]]


@pytest.mark.parametrize(
    "how", [{"running": False}, {"paused": True}], ids=["stopped before", "paused before"]
)
def test_who_does_not_run_is_left_alone(how: dict[str, bool]) -> None:
    (unit,) = planned([group("data")], container("db", "data", **how))

    assert names(unit) == []


@pytest.mark.parametrize("path", ["/srv/data", "/srv/data/below", "/srv"])
def test_a_path_has_the_users_of_what_is_above_it_and_below(path: str) -> None:
    (unit,) = planned([group("/srv/data")], container("user", path), container("no", "/srv/other"))

    assert names(unit) == ["user"]


def test_a_volume_is_also_used_by_its_path_but_not_by_who_looks_after_the_engine() -> None:
    by_path = container("by-path", "/var/lib/docker/volumes/data/_data/sub")
    keeper = container("keeper", "/var/lib/docker/volumes")

    (unit,) = planned([group("data")], by_path, keeper)

    assert names(unit) == ["by-path"]


def test_dependents_stop_first_whatever_says_that_they_depend() -> None:
    database = service("db", mounts=["data"])
    web = service("web", "db", mounts=["data"])
    linked = container("linked", "data", host={"Links": ["shop-web-1:web"]})
    sidecar = container("sidecar", "data", host={"NetworkMode": "container:linked"})

    (unit,) = planned([group("data")], database, linked, sidecar, web)

    assert names(unit) == ["sidecar", "linked", "shop-web-1", "shop-db-1"]


def test_a_service_of_another_project_is_no_dependency() -> None:
    mine = service("web", "db", mounts=["data"])
    other = service("db", project="zoo", mounts=["data"])

    (unit,) = planned([group("data")], mine, other)

    assert names(unit) == ["zoo-db-1", "shop-web-1"]


def test_a_cycle_of_dependencies_has_an_end() -> None:
    members = [service("a", "b"), service("b", "c"), service("c", "a")]

    assert sorted(each.name for each in ordered(members)) == ["shop-a-1", "shop-b-1", "shop-c-1"]


@given(
    st.integers(1, 8).flatmap(
        lambda size: st.lists(st.sets(st.integers(0, size - 1)), min_size=size, max_size=size)
    )
)
def test_each_is_stopped_before_all_that_it_needs(needs: list[set[int]]) -> None:
    """Where there is no cycle: only smaller numbers are needed."""
    members = [
        service(f"s{at}", *(f"s{other}" for other in sorted(needed) if other < at))
        for at, needed in enumerate(needs)
    ]

    place = {each.name: at for at, each in enumerate(ordered(members))}

    assert len(place) == len(members)
    for at, needed in enumerate(needs):
        for other in needed:
            if other < at:
                assert place[f"shop-s{at}-1"] < place[f"shop-s{other}-1"]


@pytest.mark.parametrize("mode", ["NetworkMode", "PidMode", "IpcMode"])
def test_who_has_joined_one_that_is_stopped_is_stopped_as_well(mode: str) -> None:
    joined = container("joined", host={mode: "container:db"})
    further = container("further", host={"NetworkMode": "container:joined"})

    (unit,) = planned([group("data")], container("db", "data"), joined, further)
    (paused,) = planned(
        [group("data")], container("db", "data"), joined, order=Order(treatments={"db": PAUSE})
    )

    assert names(unit) == ["further", "joined", "db"]
    assert names(paused) == ["db"]


def test_each_is_treated_as_is_said_of_it() -> None:
    order = Order(treatments={"a": PAUSE, "c": STOP})

    (unit,) = planned(
        [group("data")],
        container("a", "data"),
        container("b", "data"),
        container("c", "data"),
        order=order,
    )

    assert {each.name: each.how for each in unit.quieted} == {
        "a": Quiesce.PAUSE,
        "c": Quiesce.STOP,
    }


@pytest.mark.parametrize(
    ("grace_s", "own", "expected"),
    [(None, None, 10), (None, 0, 0), (None, 95, 95), (2.5, 95, 3), (0.0, None, 0), (None, -1, -1)],
)
def test_a_grace_is_what_is_asked_for_or_the_own_one(
    grace_s: float | None, own: int | None, expected: int
) -> None:
    order = Order(treatments={}, otherwise=Treatment(quiesce=Quiesce.STOP, grace_s=grace_s))
    db = container("db", "data", config={"StopTimeout": own})

    (unit,) = planned([group("data")], db, order=order)

    assert [each.grace_s for each in unit.quieted] == [expected]


SWARM = {"com.docker.swarm.service.id": "x1", "com.docker.swarm.service.name": "shop_db"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"host": {"AutoRemove": True}}, "--rm"),
        ({"labels": SWARM}, "swarm's service 'shop_db'"),
    ],
    ids=["auto-remove", "swarm"],
)
def test_who_cannot_be_stopped_is_told_and_may_be_paused(more: dict[str, Any], said: str) -> None:
    db = container("db", "data", **more)

    (stopped,) = planned([group("data")], db)
    (paused,) = planned([group("data")], db, order=Order(treatments={"db": PAUSE}))

    assert said in str(stopped.refused)
    assert paused.refused is None


def test_voltar_does_not_stop_itself() -> None:
    own = Order(treatments={}, otherwise=PAUSE, own="id-of-v")

    (unit,) = planned([group("data")], container("v", "data"), order=own)

    assert "voltar runs in container 'v'" in str(unit.refused)


@pytest.mark.parametrize(
    ("hostname", "mounts", "own"),
    [
        ("0123456789ab", "", "0123456789ab"),
        ("backup", f"/containers/{'ab' * 32}/hostname /etc/hostname", "ab" * 32),
        ("host", f"/data/containers/{'ab' * 32}/hosts /etc/hosts", "ab" * 32),
        ("host", f"/containers/{'ab' * 32}/mounts/shm /docker/containers/{'ab' * 32}/shm", ""),
        ("host", "/ /", ""),
    ],
    ids=["id", "named", "network of the host", "the host", "no engine"],
)
def test_the_own_container_is_known_whatever_its_host_is_called(
    hostname: str, mounts: str, own: str
) -> None:
    lines = f"1 2 3\n376 305 254:0 {mounts} rw,relatime - ext4 /dev/vda rw\n" if mounts else ""

    assert own_container(hostname, lines) == own


def test_a_hook_of_one_that_only_reads_runs_as_well() -> None:
    own = Hook(when=When.BEFORE, command=["true"], container="web")
    order = Order(treatments={"web": Treatment(quiesce=Quiesce.STOP, hooks=(own,))})

    (unit,) = planned([group("a")], container("web", mount("a", read_only=True)), order=order)

    assert (names(unit), unit.hooks) == ([], (own,))


def test_a_hook_of_a_container_belongs_to_its_unit_and_one_of_the_job_does_not() -> None:
    of_job = Hook(when=When.BEFORE, command=["sync"])
    own = Hook(when=When.AFTER, command=["true"], container="db")
    order = Order(treatments={"db": Treatment(hooks=(of_job, own))}, hooks=(of_job,))

    found = planned(
        [group("a"), group("b")], container("db", "a"), container("x", "b"), order=order
    )

    assert [list(unit.hooks) for unit in found] == [[own], []]
