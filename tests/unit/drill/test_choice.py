"""What a drill chooses: the newest, together with what belongs to it."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from backup.config import Job
from backup.drill.choice import meant, of_host, of_job, of_source, units
from backup.errors import NoSuchSnapshot
from backup.repository import MountFacts, Snapshot, SnapshotId, UserFacts, VolumeFacts

START = datetime(2026, 11, 1, tzinfo=UTC)
NOW = START + timedelta(days=30)
DEFINITION = {
    "name": "web",
    "config": {"Labels": {"com.docker.compose.project": "shop", "tier": "front"}},
    "mounts": [
        {"type": "volume", "name": "data", "destination": "/data"},
        {"type": "bind", "source": "/etc/app", "destination": "/etc/app"},
    ],
}


def snapshot(source, day, *, run="r", container="", host="h"):
    kind, _, name = source.partition(":")
    made = Snapshot(
        time=START + timedelta(days=day),
        host=host,
        source=source,
        run=f"{run}{day}",
        volume=VolumeFacts(name=name) if kind == "volume" else None,
        mount=MountFacts(container=container, destination="/data") if container else None,
        definition=DEFINITION if container else None,
    )
    return SnapshotId(f"{source}@{day}"), made


def ids(found):
    return sorted(each[0] for each in found)


def test_a_container_comes_with_all_that_it_mounted_in_the_same_run():
    found = [
        *(snapshot("volume:data", day, container="web") for day in (1, 2)),
        *(snapshot("path:/etc/app", day, container="web") for day in (1, 2)),
        snapshot("volume:data", 3, run="by hand"),
        snapshot("volume:other", 1),
    ]

    web, other = units(found, found, None, NOW)

    assert (web.subject, ids(web.found)) == ("container:web", ["path:/etc/app@2", "volume:data@2"])
    assert (other.subject, other.definition) == ("volume:other", None)


def test_each_of_the_containers_that_share_a_volume_is_drilled():
    mount = MountFacts(container="worker", destination="/in")
    mounts = [{"type": "volume", "name": "data", "destination": "/in"}]
    worker = UserFacts(mount=mount, definition={"name": "worker", "mounts": mounts})
    shared_id, shared = snapshot("volume:data", 1, container="web")
    found = [
        (shared_id, replace(shared, others=[worker])),
        snapshot("path:/etc/app", 1, container="web"),
    ]

    chosen = units(found, found, None, NOW)

    assert [(one.subject, ids(one.found)) for one in chosen] == [
        ("container:web", ["path:/etc/app@1", "volume:data@1"]),
        ("container:worker", ["volume:data@1"]),
    ]
    assert ids(of_source("container:worker", found)) == ["volume:data@1"]
    assert ids(of_job(Job(containers=["worker"]), (), found)) == ["volume:data@1"]


def test_what_failed_in_the_newest_run_comes_from_an_earlier_one():
    found = [
        snapshot("path:/etc/app", 1, container="web"),
        snapshot("volume:data", 1, container="web"),
        snapshot("volume:data", 2, container="web"),
    ]

    (web,) = units(found, found, None, NOW)

    assert ids(web.found) == ["path:/etc/app@1", "volume:data@2"]


def test_a_container_whose_database_is_dumped_is_known():
    found = [snapshot("path:/etc/app", 1, container="web")]
    dumps = [snapshot(f"dump:{name}/postgres", 1) for name in ("web", "webby")]

    assert units(found, [*found, dumps[0]], None, NOW)[0].dumped
    assert not units(found, [*found, dumps[1]], None, NOW)[0].dumped


def test_what_another_job_saved_of_a_container_comes_with_it():
    mine = snapshot("volume:data", 2, container="web")
    pool = [snapshot("path:/etc/app", 1), mine, snapshot("volume:other", 2)]

    (web,) = units([mine], pool, None, NOW)

    assert ids(web.found) == ["path:/etc/app@1", "volume:data@2"]


def test_the_newest_up_to_a_time_is_chosen_and_none_of_the_future():
    found = [snapshot("volume:data", day) for day in (1, 2, 400)]

    assert ids(units(found, found, None, NOW)[0].found) == ["volume:data@2"]
    assert ids(units(found, found, START + timedelta(days=1.5), NOW)[0].found) == ["volume:data@1"]
    assert units(found, found, START, NOW) == ()


def test_a_job_is_known_by_its_runs_or_else_by_what_it_names():
    mine, other = snapshot("volume:data", 1, container="web"), snapshot("volume:data", 2)

    assert of_job(Job(volumes=["x"]), {"r1"}, [mine, other]) == [mine]
    for job in (
        Job(containers=["web"]),
        Job(projects=["shop"]),
        Job(labels=["tier=front"]),
        Job(patterns=["we?"]),
    ):
        assert of_job(job, {"gone"}, [mine, other]) == [mine]
    assert of_job(Job(volumes=["data"]), set(), [mine, other]) == [mine, other]
    assert of_job(Job(all=True), set(), [mine, other]) == [mine, other]
    assert of_job(Job(labels=["tier=back"]), set(), [mine, other]) == []


def test_a_source_may_be_a_volume_or_a_container():
    mine, other = snapshot("volume:data", 1, container="web"), snapshot("path:/x", 2)

    for name in ("data", "volume:data", "container:web"):
        assert of_source(name, [mine, other]) == [mine]


def test_a_name_alone_is_a_volume_s_or_else_a_container_s():
    every = [snapshot("volume:data", 1, container="web"), snapshot("volume:x", 2, container="data")]

    said = ["web", "data", "x", "path:/x", "", "gone", "container:data"]

    assert [meant(each, every) for each in said] == ["container:web", *said[1:]]


def test_of_several_hosts_the_engines_own_counts():
    here, there = snapshot("volume:data", 1), snapshot("volume:data", 1, host="there")

    assert of_host([here, there], "h") == [here]
    assert of_host([there], "h") == [there]
    with pytest.raises(NoSuchSnapshot, match="several hosts"):
        of_host([here, there], "third")
