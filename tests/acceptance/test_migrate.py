"""A container or a volume moves to another engine: proven, or nothing has happened."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import zoo
from tests.acceptance.files import fill
from tests.acceptance.migration import LABEL, PAIRS, Pair, everything, move, moved, paired
from tests.testbed import images, walk
from tests.testbed.command import run
from tests.testbed.engine import Engine, Pool
from tests.testbed.scratch import Scratch
from tests.testbed.seed import volume_at

pytestmark = pytest.mark.private


@pytest.fixture(params=PAIRS, ids=[" to ".join(each) for each in PAIRS])
def pair(pool: Pool, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Each combination of engines."""
    yield from paired(pool, request.param, tmp_path)


def test_a_volume_moves_with_its_labels_and_every_attribute(pair: Pair) -> None:
    volume = pair.source.volume("--label", "tier=gold")
    at = pair.source.engine.volume_directory(volume)
    zoo.build(os.fsencode(at))

    moved = move(pair, f"volume:{volume}").summary

    there = json.loads(pair.target.engine.docker("volume", "inspect", volume))[0]
    assert there["Labels"] == {"tier": "gold", LABEL: moved["migration"]}
    assert moved["downtime_seconds"] is None
    differences = walk.diff(pair.content(pair.source, volume), pair.content(pair.target, volume))
    assert differences == ["b'sockets/server.sock': missing (socket)"]


SERVICE = ("sh", "-c", "while sleep 0.1; do :; done")
CHANGES = (
    'ENTRYPOINT ["sh","-c"]',
    "ENV FROM_IMAGE=1",
    "EXPOSE 7000",
    "VOLUME /from-image",
    "LABEL of=image",
    "USER root",
)
OPTIONS = (
    *(
        "--stop-signal",
        "KILL",
        "--entrypoint",
        "",
        "--hostname",
        "db1",
        "--domainname",
        "example.test",
        "-w",
        "/tmp",
    ),
    *("-e", "A=1", "-e", "B=two words", "--label", "x.y=z", "--user", "0:0", "-i", "-t"),
    *("--restart", "on-failure:7", "--stop-timeout", "3", "--init", "--shm-size", "12m"),
    *("--memory", "64m", "--memory-swap", "96m", "--cpu-shares", "300", "--cpus", "0.5"),
    *("--pids-limit", "77", "--ulimit", "nofile=99:199", "--oom-score-adj", "123"),
    *("--cap-add", "NET_ADMIN", "--cap-drop", "MKNOD", "--security-opt", "no-new-privileges"),
    *("--read-only", "--tmpfs", "/scratch:size=1m,mode=700", "--group-add", "44"),
    *("--dns", "10.1.2.3", "--dns-search", "example.test", "--dns-opt", "ndots:2"),
    *("--add-host", "other:10.9.8.7", "--sysctl", "net.ipv4.ip_forward=1", "-p", "127.0.0.1::7000"),
    *("--log-driver", "json-file", "--log-opt", "max-size=1m", "--ipc", "private"),
    *("--device", "/dev/zero:/dev/nought:r"),
    *("--health-cmd", "true", "--health-interval", "1s", "--health-retries", "3"),
)


def network(side: Scratch, subnet: str, *options: str) -> str:
    """Make a network, removed after the test."""
    name = side.name("network")
    side.engine.docker("network", "create", "--subnet", subnet, "--label", "n=1", *options, name)
    return name


@pytest.fixture
def networks(pair: Pair) -> Iterator[tuple[str, str]]:
    """Two networks of the source, removed from both engines after the test."""
    made = network(pair.source, "10.210.1.0/24"), network(pair.source, "10.210.2.0/24")
    yield made
    for side in (pair.target, pair.source):
        listed = side.engine.docker("ps", "-aq").split()
        if listed:
            side.engine.attempt("rm", "-fv", *listed)
        side.engine.attempt("network", "rm", *made)


def test_a_container_moves_with_all_that_was_set(pair: Pair, networks: tuple[str, str]) -> None:
    image = images.build(pair.source.engine, "voltar-test-service", images.TOOLS, changes=CHANGES)
    named = pair.source.volume("--label", "v=1")
    fill(
        pair.source.engine.volume_directory(named), {"sub/file": b"content", "other": b"x" * 70000}
    )
    front, back = networks
    where = ("--network", front, "--ip", "10.210.1.77", "--network-alias", "database")
    mounts = ("-v", f"{named}:/data", "-v", "/anonymous")
    name = pair.source.container(image, *SERVICE, options=(*OPTIONS, *where, *mounts))
    pair.target.claim(volumes=[named])
    pair.source.engine.docker("network", "connect", "--alias", "second", back, name)
    anonymous = volume_at(pair.source.engine, name, "/anonymous")
    fill(pair.source.engine.volume_directory(anonymous), {"a": b"anonymous"})
    pair.source.engine.docker("start", name)
    before = pair.inspect(pair.source, name)

    moved = move(pair, f"container:{name}")

    after = pair.inspect(pair.target, name)
    assert after["State"]["Health"]["Status"] == "healthy"
    assert moved.summary["downtime_seconds"] > 0
    assert list(unlike(before, after)) == []
    target_anonymous = volume_at(pair.target.engine, name, "/anonymous")
    assert target_anonymous != anonymous
    for one, other in ((named, named), (anonymous, target_anonymous)):
        assert walk.diff(pair.content(pair.source, one), pair.content(pair.target, other)) == []
    source = pair.inspect(pair.source, name)
    assert not source["State"]["Running"]
    assert source["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")


IGNORED = {
    "Config": {"Image", "MacAddress"},
    "HostConfig": {
        *("CgroupnsMode", "KernelMemory", "KernelMemoryTCP", "MaskedPaths", "MemorySwappiness"),
        *("OomKillDisable", "ReadonlyPaths", "ContainerIDFile", "ConsoleSize", "Isolation"),
    },
}


def unlike(one: Any, other: Any) -> Iterator[str]:
    """In what two containers differ that no engine decides: an own reading of both documents."""
    for part, ignored in IGNORED.items():
        for key in sorted({*one[part], *other[part]} - ignored):
            left, right = (side[part].get(key) or None for side in (one, other))
            if left != right:
                yield f"{part}.{key}: {left!r} became {right!r}"
    ends = [endpoints(side) for side in (one, other)]
    if ends[0] != ends[1]:
        yield f"networks: {ends[0]} became {ends[1]}"


def endpoints(document: Any) -> dict[str, Any]:
    """What was decided about each network; engines add the name and the id to the aliases."""
    own = {document["Id"][:12], document["Config"]["Hostname"]}
    return {
        name: (one["IPAMConfig"] or None, one["Links"] or None, set(one["Aliases"] or ()) - own)
        for name, one in document["NetworkSettings"]["Networks"].items()
    }


@pytest.fixture
def newer(pool: Pool, tmp_path: Path) -> Iterator[Pair]:
    """One pair only: what does not depend on the engines' versions."""
    yield from paired(pool, PAIRS[0], tmp_path)


KILL = ("--stop-signal", "KILL")


def service(pair: Pair, *options: str, run: bool = True) -> str:
    """A container on the source whose image the target has."""
    image = moved(pair.source.engine)
    moved(pair.target.engine)
    make = pair.source.running if run else pair.source.container
    name = make(image, "sleep", "1000", options=(*KILL, *options))
    pair.target.claim(containers=[name])
    pair.remember()
    return name


def state(pair: Pair, side: Scratch, name: str) -> tuple[str, str]:
    found = pair.inspect(side, name)
    return found["State"]["Status"], found["HostConfig"]["RestartPolicy"]["Name"] or "no"


def test_a_dry_run_shows_the_plan_and_does_nothing(newer: Pair) -> None:
    volume = newer.source.volume()
    name = service(newer, "-v", f"{volume}:/data")

    shown = newer.voltar("migrate", f"container:{name}", *newer.to, "--dry-run").text
    told = newer.voltar.ask("migrate", f"container:{name}", *newer.to, "--dry-run")

    assert [f"  {n}. {text}" in shown for n, text in enumerate(told["steps"], 1)] == [True] * 7
    assert (told["blocked"], newer.left(), newer.journals()) == (False, {}, [])
    assert state(newer, newer.source, name)[0] == "running"


def test_what_must_be_settled_is_told_before_anything_is_touched(newer: Pair) -> None:
    volume = newer.source.volume()
    name = service(newer, "-v", f"{volume}:/data")
    newer.target.volume(name=volume)
    image = moved(newer.target.engine)
    newer.target.engine.docker("create", "--name", name, image, "true")
    newer.remember()

    refused = move(newer, f"container:{name}", code=5)

    assert "nothing was touched" in refused.error["message"]
    assert len(refused.error["notes"]) == 2
    assert any("--rename" in note for note in refused.error["notes"])
    assert any(f"docker volume rm {volume}" in note for note in refused.error["notes"])
    assert (newer.left(), newer.journals()) == ({}, [])
    assert state(newer, newer.source, name)[0] == "running"


def test_what_an_engine_lacks_is_found_by_asking_it(
    newer: Pair, start_engine: Callable[..., Engine]
) -> None:
    """A port that is taken and too little room, on a real engine; each says what settles it."""
    volume = newer.source.volume()
    fill(newer.source.engine.volume_directory(volume), {"large": os.urandom(40 << 20)})
    small = start_engine("28.5-classic")
    small.daemon.kill()
    run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", small.data_root])
    try:
        small.daemon.start()
        image = moved(small)
        port = ("-p", "127.0.0.1:7000:7000")
        small.docker("run", "-d", "--name", "has-the-port", *port, image, "sleep", "1000")
        name = service(newer, *port, "-v", f"{volume}:/data")

        command = ("--json", "migrate", f"container:{name}", "--to", small.url)
        refused = newer.voltar(*command, code=5).error

        assert "nothing was touched" in refused["message"]
        port, room = sorted(refused["notes"], key=lambda note: "7000" not in note)
        assert "7000/tcp of the target is taken by container 'has-the-port' (stop it" in port
        assert "MiB free, and" in room
        assert "(make room there)" in room
        assert small.docker("volume", "ls", "-q") == ""
        assert state(newer, newer.source, name)[0] == "running"
    finally:
        small.daemon.kill()
        run(["umount", "--lazy", small.data_root])


def test_data_pass_through_without_a_file_in_between(newer: Pair, tmp_path: Path) -> None:
    """What is temporary has less room here than the data; `--from` is not the engine of --host."""
    volume = newer.source.volume()
    fill(newer.source.engine.volume_directory(volume), {"large": os.urandom(12 << 20)})
    newer.target.claim(volumes=[volume])
    (tmp_path / "little").mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path / "little"])
    try:
        little = newer.voltar.changed(
            url="unix:///nowhere.sock", more={"TMPDIR": str(tmp_path / "little")}
        )
        little("migrate", f"volume:{volume}", *newer.to, "--from", newer.source.engine.url)
    finally:
        run(["umount", tmp_path / "little"])

    assert walk.diff(newer.content(newer.source, volume), newer.content(newer.target, volume)) == []


def test_a_volume_is_made_with_its_driver_and_options(newer: Pair) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=0711"}
    words = [word for key, value in options.items() for word in ("--opt", f"{key}={value}")]
    volume = newer.source.volume(*words)

    move(newer, f"volume:{volume}")

    made = json.loads(newer.target.engine.docker("volume", "inspect", volume))[0]
    assert (made["Driver"], made["Options"]) == ("local", options)


def test_a_migration_can_be_gone_back_on(newer: Pair) -> None:
    volume = newer.source.volume()
    name = service(newer, "-v", f"{volume}:/data", "--restart", "always")
    newer.target.claim(volumes=[volume])
    move(newer, f"container:{name}")
    assert state(newer, newer.source, name) == ("exited", "no")
    assert state(newer, newer.target, name) == ("running", "always")

    newer.voltar("migrate", "rollback", f"container:{name}")

    assert state(newer, newer.source, name) == ("running", "always")
    assert state(newer, newer.target, name) == ("exited", "no")
    again = newer.voltar("migrate", "finish", f"container:{name}", code=2)
    assert "is rolled back" in again.err


def test_a_migration_is_finished_after_another_comparison(newer: Pair) -> None:
    volume = newer.source.volume()
    at = newer.source.engine.volume_directory(volume)
    fill(at, {"file": b"1"})
    name = service(newer, "-v", f"{volume}:/data", "-v", "/anonymous")
    newer.target.claim(volumes=[volume])
    moved = move(newer, f"container:{name}").summary["migration"]
    (at / "file").write_bytes(b"2")
    refused = newer.voltar("--json", "migrate", "finish", moved[:6], code=1)
    assert "was changed on the source since it was moved" in refused.error["message"]
    assert state(newer, newer.source, name)[0] == "exited"
    newer.voltar("migrate", "rollback", moved)
    newer.target.engine.docker("rm", "-fv", name)
    newer.target.engine.docker("volume", "rm", volume)
    before = everything(newer.source.engine)
    again = move(newer, f"container:{name}").summary["migration"]

    newer.voltar("migrate", "finish", again)

    gone = {
        kind: len(names - everything(newer.source.engine)[kind]) for kind, names in before.items()
    }
    assert gone == {"containers": 1, "volumes": 2, "networks": 0, "images": 0, "names": 0}
    assert state(newer, newer.target, name)[0] == "running"


def test_a_source_is_not_removed_when_the_target_is_gone(newer: Pair) -> None:
    name = service(newer)
    moved = move(newer, f"container:{name}").summary["migration"]
    newer.target.engine.docker("rm", "-f", name)

    refused = newer.voltar("--json", "migrate", "finish", moved, code=1)

    assert "is not on the target any more" in refused.error["message"]
    newer.voltar("migrate", "rollback", moved)
    assert state(newer, newer.source, name)[0] == "running"


def test_there_is_no_way_back_to_a_source_of_which_a_part_was_removed(newer: Pair) -> None:
    volume = newer.source.volume()
    at = newer.source.engine.volume_directory(volume)
    fill(at, {"removed": b"1", "immutable": b"2"})
    run(("chattr", "+i", at / "immutable"))
    try:
        moved = move(newer, f"volume:{volume}").summary["migration"]
        kept = newer.content(newer.target, volume)
        newer.voltar("migrate", "finish", moved, code=1)
        refused = newer.voltar("--json", "migrate", "rollback", moved, code=2)
    finally:
        run(("chattr", "-i", at / "immutable"))

    assert "is being finished" in refused.error["message"]
    assert "the target has the data" in refused.error["hint"]
    assert newer.content(newer.target, volume) == kept


def test_there_is_no_way_back_to_a_volume_that_is_gone(newer: Pair) -> None:
    volume = newer.source.volume()
    moved = move(newer, f"volume:{volume}").summary["migration"]
    newer.source.engine.docker("volume", "rm", volume)

    newer.voltar("migrate", "rollback", moved, code=1)
    newer.voltar("migrate", "finish", moved)


def test_a_container_that_does_not_run_is_not_started(newer: Pair) -> None:
    volume = newer.source.volume()
    fill(newer.source.engine.volume_directory(volume), {"file": b"1"})
    name = service(newer, "-v", f"{volume}:/data", "--restart", "always", run=False)
    newer.target.claim(volumes=[volume])

    moved = move(newer, f"container:{name}").summary

    assert moved["downtime_seconds"] is None
    assert state(newer, newer.target, name) == ("created", "always")
    assert walk.diff(newer.content(newer.source, volume), newer.content(newer.target, volume)) == []


def test_a_paused_container_is_paused_on_the_target(newer: Pair) -> None:
    name = service(newer)
    newer.source.engine.docker("pause", name)

    move(newer, f"container:{name}")

    assert state(newer, newer.target, name)[0] == "paused"


def test_an_emptied_volume_is_not_filled_from_the_image_again(pair: Pair) -> None:
    """The engine copies what the image has at /etc into an empty volume that is mounted there."""
    volume = pair.source.volume()
    name = service(pair, "-v", f"{volume}:/etc", "-v", "/bin/inner", run=False)
    at = pair.source.engine.volume_directory(volume)
    assert (at / "passwd").exists()
    for each in list(at.iterdir()):
        each.unlink()
    os.chmod(at, 0o2710)
    pair.target.claim(volumes=[volume])

    move(pair, f"container:{name}")

    assert walk.diff(pair.content(pair.source, volume), pair.content(pair.target, volume)) == []


@pytest.fixture
def older(pool: Pool, tmp_path: Path) -> Iterator[Pair]:
    """The other pair: the docker command asks old engines for no MAC address."""
    yield from paired(pool, PAIRS[1], tmp_path)


def test_a_container_joins_another_that_was_moved_before(older: Pair) -> None:
    first = service(older, "--mac-address", "02:42:ac:11:00:99")
    joined = service(older, "--network", f"container:{first}")
    refused = move(older, f"container:{joined}", code=5)
    assert f"move container:{first} there first" in str(refused.error["notes"])

    told = [move(older, f"container:{name}").said for name in (first, joined)]

    assert f"move container:{joined} next" in told[0]
    assert f"voltar migrate rollback container:{first}" in told[1]
    mode = older.inspect(older.target, joined)["HostConfig"]["NetworkMode"]
    there = older.inspect(older.target, first)
    assert mode in (f"container:{first}", f"container:{there['Id']}")
    found = there["NetworkSettings"]["Networks"]["bridge"]["MacAddress"]
    assert found == "02:42:ac:11:00:99"


def test_containers_that_share_a_volume_move_one_after_the_other(newer: Pair) -> None:
    volume = newer.source.volume()
    first, second = (service(newer, "-v", f"{volume}:/data", run=False) for _ in range(2))
    told = move(newer, f"container:{first}")
    assert f"--present {volume}" in told.said
    newer.target.claim(volumes=[volume])
    there = newer.target.engine.volume_directory(volume)
    fill(there, {"file": b"written since"})

    refused = move(newer, f"container:{second}", code=5)
    move(newer, f"container:{second}", "--present", f"volume:{volume}")

    assert f"--present {volume}" in str(refused.error["notes"])
    assert (there / "file").read_bytes() == b"written since"
    assert newer.inspect(newer.target, second)["Mounts"][0]["Name"] == volume


def test_a_volume_that_is_there_already_is_not_emptied(newer: Pair) -> None:
    """The container has it from one that was made anew since, and that has it on the target."""
    volume = newer.source.volume()
    fill(newer.source.engine.volume_directory(volume), {"file": b"ours"})
    box = service(newer, "-v", f"{volume}:/data", run=False)
    name = service(newer, "--volumes-from", box)
    create = ("create", "--name", box)
    command = (moved(newer.source.engine), "true")
    newer.source.engine.docker("rm", box)
    newer.source.engine.docker(*create, *command)
    newer.target.engine.docker(*create, "-v", f"{newer.target.volume(name=volume)}:/data", *command)
    there = newer.target.engine.volume_directory(volume)
    fill(there, {"file": b"theirs"})

    said = str(move(newer, f"container:{name}", code=1).error["message"])

    assert f"at /data the target would give the container volume {volume!r}" in said
    assert (there / "file").read_bytes() == b"theirs"
    assert state(newer, newer.source, name)[0] == "running"


def test_bind_mounts_go_to_the_same_places(
    newer: Pair, start_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    fill(tmp_path, {"srv/app/deep/file": b"1", "srv/one": b"2"})
    os.chown(tmp_path / "srv/app", 70, 71)
    app, one = tmp_path / "srv/app", tmp_path / "srv/one"
    name = service(newer, "-v", f"{app}:/app", "-v", f"{one}:/one:ro", "-v", "/etc:/host-etc:ro")
    apart = start_engine("28.5-classic", shared=False)
    moved(apart)

    command = ("--json", "migrate", f"container:{name}", "--to", apart.url)
    newer.voltar(*command)

    assert apart.docker("exec", name, "cat", "/app/deep/file", "/one") == "12"
    assert apart.docker("exec", name, "stat", "-c", "%u %g", "/app") == "70 71"

    newer.voltar("migrate", "rollback", f"container:{name}")
    apart.docker("rm", "-f", name)
    refused = newer.voltar(*command, code=5)
    assert {f"--present {path}" in str(refused.error["notes"]) for path in (app, one)} == {True}

    newer.voltar(*command, "--present", f"{app}/", "--present", str(one))
    assert apart.docker("exec", name, "cat", "/app/deep/file", "/one") == "12"


def test_paths_that_were_made_are_taken_back(
    newer: Pair, start_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    fill(tmp_path, {"srv/app/deep/file": b"1", "srv/one": b"2"})
    mounts = ("-v", f"{tmp_path}/srv/app:/app", "-v", f"{tmp_path}/srv/one:/one")
    failing = ("--health-cmd", "false", "--health-interval", "1s")
    name = service(newer, *mounts, *failing)
    apart = start_engine("28.5-classic", shared=False)
    image = moved(apart)

    command = ("migrate", f"container:{name}", "--to", apart.url, "--health-timeout", "0")
    newer.voltar(*command, code=1)

    above = str(tmp_path.parent)
    looked = apart.attempt("run", "--rm", "--mount", f"type=bind,src={above},dst=/x", image, "true")
    assert b"does not exist" in looked.stderr
    assert state(newer, newer.source, name)[0] == "running"


def test_mistakes_are_told_in_a_sentence(newer: Pair) -> None:
    url = newer.source.engine.url
    name = service(newer)
    target = f"container:{name}"

    def error(*words: str, code: int) -> str:
        return str(newer.voltar("--json", "migrate", *words, code=code).error["message"])

    image = newer.voltar("migrate", "image:app:1", *newer.to, code=2)
    assert f"voltar image send app:1 --to {newer.to[1]}" in image.err
    assert "nothing that moves" in error("project:x", *newer.to, code=2)
    assert "same engine" in error(target, "--to", url, code=2)
    assert "no container 'nope'" in error("container:nope", *newer.to, code=1)
    assert "cannot reach" in error(target, "--to", "unix:///nowhere.sock", code=1)
    assert "URL of an engine is empty" in error(target, "--to", "", code=2)
    assert "URL of an engine is empty" in error(target, *newer.to, "--from", "", code=2)
    for name in ("", "a", "a/b", "-a"):
        assert "no name of a container" in error(target, *newer.to, f"--rename={name}", code=2)
    for time_s in ("nan", "inf"):
        assert "seconds" in error(target, *newer.to, "--health-timeout", time_s, code=2)
    assert "write OLD=NEW" in error(target, *newer.to, "--network", "x", code=2)
    assert "no migration is called 'ffff'" in error("finish", "ffff", code=2)
    assert newer.voltar.ask("migrate", "list") == []
