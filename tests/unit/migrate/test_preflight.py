"""What a preflight finds, and what it says about it. Each row is one thing that is not in order."""

from dataclasses import replace

import pytest

from backup.engine import Found, Port, State
from backup.migrate.facts import Data, Ground, Image, Origin, Wishes
from backup.migrate.findings import Severity
from backup.migrate.preflight import preflight
from tests.unit.migrate.scenes import (
    IMAGE,
    bound,
    ground,
    host,
    inspected,
    lone,
    network,
    origin,
    user,
    volume,
)

THERE = Found(kind="d", empty=False, anchor="/srv/app", free=1 << 40)
EMPTY = Found(kind="d", empty=True, anchor="/srv/app", free=1 << 40)
ABSENT = Found(anchor="/srv", free=1 << 40)


def found(about: Origin, there: Ground, wishes: Wishes | None = None) -> dict[str, list[str]]:
    seen: dict[str, list[str]] = {"blocks": [], "warns": []}
    for one in preflight(about, there, wishes or Wishes()):
        seen[one.severity.value].append(f"{one.text}: {one.settles}")
    return seen


def configured(**host_config: object) -> Origin:
    return origin(inspected(HostConfig=host_config))


def networked(name: str, mode: str | None = None, **endpoint: object) -> dict[str, object]:
    return inspected(
        HostConfig={"NetworkMode": mode or name},
        NetworkSettings={"Networks": {name: endpoint}},
    )


def test_a_plain_container_on_an_empty_engine_is_in_order() -> None:
    assert found(origin(data=(volume(),)), ground()) == {"blocks": [], "warns": []}


def test_a_plain_volume_on_an_empty_engine_is_in_order() -> None:
    assert found(lone(volume()), ground()) == {"blocks": [], "warns": []}


BLOCKING = {
    "swarm": (origin(labels={"com.docker.swarm.service.name": "api"}), ground(), "swarm service"),
    "rm": (configured(AutoRemove=True), ground(), "--rm"),
    "dead": (origin(state=State(status="dead", running=False)), ground(), "is dead"),
    "subpath": (
        origin(inspected(HostConfig={"Mounts": [{"VolumeOptions": {"Subpath": "a"}}]})),
        ground(host=host(identity="B", api=(1, 44))),
        "VolumeOptions.Subpath",
    ),
    "architecture": (
        origin(),
        ground(host=host(identity="B", architecture="arm64")),
        "for amd64, and the target runs arm64",
    ),
    "image gone": (origin(image=None), ground(), "was removed from the source"),
    "name": (origin(), ground(containers={"web": False}), "a container 'web'"),
    "joins": (configured(NetworkMode="container:vpn"), ground(), "joins container 'vpn'"),
    "pid": (configured(PidMode="container:vpn"), ground(), "(PidMode)"),
    "stopped partner": (
        configured(PidMode="container:vpn"),
        ground(containers={"vpn": False}),
        "docker start vpn",
    ),
    "stopped link": (
        configured(Links=["/db:/web/db"]),
        ground(containers={"db": False}),
        "docker start db",
    ),
    "links": (configured(Links=["/db:/web/database"]), ground(), "links to container 'db'"),
    "volumes from": (configured(VolumesFrom=["box:ro"]), ground(), "volumes from container 'box'"),
    "log driver": (configured(LogConfig={"Type": "loki"}), ground(), "log driver 'loki'"),
    "runtime": (configured(Runtime="nvidia"), ground(), "runtime 'nvidia'"),
    "device": (
        configured(Devices=[{"PathOnHost": "/dev/tty7"}]),
        ground(places={"/dev/tty7": Found()}),
        "no device /dev/tty7",
    ),
    "no room": (
        origin(data=(volume(size=1 << 30),)),
        ground(free=1 << 30),
        "has 1024 MiB free",
    ),
    "no room for a path": (
        origin(data=(bound(size=1 << 30),)),
        ground(places={"/srv/app": replace(ABSENT, free=1 << 20)}),
        "/srv on the target has 1 MiB free",
    ),
    "user": (origin(data=(volume(users=(user(running=True),)),)), ground(), "container 'other'"),
    "user of a lone volume": (
        lone(volume(users=(user(running=True),))),
        ground(),
        "docker stop other",
    ),
    "volume there": (
        origin(data=(volume(),)),
        ground(volumes={"data": volume().volume}),
        "docker volume rm data",
    ),
    "volume driver": (origin(data=(volume(driver="rexray"),)), ground(), "volume driver 'rexray'"),
    "another definition": (
        origin(data=(volume(options={"type": "nfs", "device": ":/x"}),)),
        ground(volumes={"data": volume().volume}),
        "the target has another volume:data",
    ),
    "bound volume": (
        origin(data=(volume(options={"type": "none", "o": "bind", "device": "/mnt/x"}),)),
        ground(places={"/mnt/x": Found()}),
        "leads to /mnt/x",
    ),
    "path there": (
        origin(data=(bound(),)),
        ground(places={"/srv/app": THERE}),
        "--present /srv/app",
    ),
    "engine's own path": (
        origin(data=(bound("/var/lib/docker/volumes/x"),)),
        ground(places={"/var/lib/docker/volumes/x": ABSENT}),
        "the engine's own",
    ),
    "above the engine's own path": (
        origin(data=(bound("/var/lib"),)),
        ground(places={"/var/lib": ABSENT}),
        "the engine's own",
    ),
    "socket": (
        origin(borrowed=("/run/x.sock",)),
        ground(places={"/run/x.sock": Found()}),
        "/run/x.sock of its host",
    ),
    "port": (
        configured(PortBindings={"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}),
        ground(ports={Port(8080, "tcp"): "proxy"}),
        "port 8080/tcp of the target is taken by container 'proxy'",
    ),
    "macvlan": (
        origin(networked("lan"), networks=(network("lan", driver="macvlan"),)),
        ground(),
        "driver macvlan",
    ),
    "overlay": (
        origin(networked("net"), networks=(network("net", scope="swarm"),)),
        ground(),
        "hangs on the host or the swarm",
    ),
    "network gone": (origin(networked("lost")), ground(), "gone from the source"),
    "static address in taken range": (
        origin(
            networked("net", IPAMConfig={"IPv4Address": "10.1.0.9"}),
            networks=(network("net", "10.1.0.0/24"),),
        ),
        ground(networks=(network("theirs", "10.1.0.0/16"),)),
        "are those of 'theirs' on the target, and the container wants 10.1.0.9",
    ),
    "static address in another range": (
        origin(
            networked("net", IPAMConfig={"IPv4Address": "10.1.0.9"}),
            networks=(network("net", "10.1.0.0/24"),),
        ),
        ground(networks=(network("net", "10.2.0.0/24"),)),
        "(10.2.0.0/24) does not have",
    ),
    "bridge name": (
        origin(
            networked("net"),
            networks=(network("net", options={"com.docker.network.bridge.name": "br7"}),),
        ),
        ground(networks=(network("x", options={"com.docker.network.bridge.name": "br7"}),)),
        "the bridge 'br7'",
    ),
}


@pytest.mark.parametrize(("about", "there", "words"), BLOCKING.values(), ids=BLOCKING)
def test_what_must_be_settled_blocks(about: Origin, there: Ground, words: str) -> None:
    (said,) = found(about, there)["blocks"]

    assert words in said
    assert not said.endswith(": "), "it says what settles it"


WARNING = {
    "restarting": (
        origin(state=State(status="restarting", running=True, restarting=True)),
        ground(),
        "keeps failing",
    ),
    "unhealthy": (
        origin(state=State(status="running", running=True, health="unhealthy")),
        ground(),
        "unhealthy now",
    ),
    "compose": (origin(labels={"com.docker.compose.project": "shop"}), ground(), "project 'shop'"),
    "unknown field": (
        configured(Annotations={"a": "b"}),
        ground(host=host(identity="B", api=(1, 41))),
        "leaves out: Annotations",
    ),
    "emulated": (
        origin(image=replace(IMAGE, architecture="arm64")),
        ground(),
        "the source emulates it",
    ),
    "another image of that name": (
        origin(),
        ground(tags={"web:1": False}),
        "web:1 is another image on the target",
    ),
    "moved tag": (origin(image=replace(IMAGE, tags=())), ground(), "is another image by now"),
    "digest": (
        origin(inspected(Config={"Image": "web@sha256:00"})),
        ground(),
        "named by its id",
    ),
    "stopped partner of one that does not run": (
        origin(inspected(State={"Running": False}, HostConfig={"PidMode": "container:vpn"})),
        ground(containers={"vpn": False}),
        "does not run on the target",
    ),
    "joined": (origin(joined=("app",)), ground(), "container 'app' is in its network"),
    "partner stopped here": (
        replace(configured(NetworkMode="container:vpn"), containers={"vpn": False}),
        ground(containers={"vpn": True}),
        "cannot be started here again if the move fails",
    ),
    "gpu": (configured(DeviceRequests=[{"Count": -1}]), ground(), "GPUs"),
    "cgroup parent": (configured(CgroupParent="/slice"), ground(), "'/slice'"),
    "profile": (configured(SecurityOpt=["apparmor=mine"]), ground(), "profile 'mine'"),
    "user namespaces": (
        origin(host=host(security=frozenset({"userns"}))),
        ground(),
        "only one of the engines uses userns",
    ),
    "own layer": (
        origin(layer_changes=3),
        ground(),
        "3 paths changed in the container's own layer",
    ),
    "stopped user": (
        origin(data=(volume(users=(user(running=False),)),)),
        ground(),
        "which stays behind",
    ),
    "reader": (
        origin(data=(bound(users=(replace(user(running=True), writes=False),)),)),
        ground(),
        "is also read by container 'other'",
    ),
    "nfs": (
        origin(data=(volume(options={"type": "nfs", "device": ":/export"}),)),
        ground(),
        "are at :/export",
    ),
    "socket": (
        origin(borrowed=("/run/x.sock",)),
        ground(places={"/run/x.sock": Found(kind="s")}),
        "the target's own",
    ),
    "address": (
        configured(PortBindings={"80/tcp": [{"HostIp": "192.0.2.7", "HostPort": "80"}]}),
        ground(),
        "must have the address 192.0.2.7",
    ),
    "host network": (
        origin(networked("host")),
        ground(networks=(network("host", driver="host"),)),
        "host's network",
    ),
    "another MAC address": (
        origin(
            inspected(
                Config={"MacAddress": "02:00:00:00:00:01"},
                HostConfig={"NetworkMode": "net"},
                NetworkSettings={
                    "Networks": {
                        "net": {"MacAddress": "02:00:00:00:00:01"},
                        "other": {"MacAddress": "02:00:00:00:00:02"},
                    }
                },
            ),
            networks=(network("net"), network("other")),
        ),
        ground(),
        "that in network 'other' is another on the target",
    ),
    "other addresses": (
        origin(networked("net"), networks=(network("net", "10.1.0.0/24"),)),
        ground(networks=(network("theirs", "10.1.0.0/16"),)),
        "it gets others there",
    ),
    "other driver": (
        origin(networked("net"), networks=(network("net"),)),
        ground(networks=(network("net", driver="macvlan"),)),
        "of driver macvlan on the target",
    ),
}


@pytest.mark.parametrize(("about", "there", "words"), WARNING.values(), ids=WARNING)
def test_what_the_operator_may_live_with_warns(about: Origin, there: Ground, words: str) -> None:
    seen = found(about, there)

    assert seen["blocks"] == []
    assert [words in said for said in seen["warns"]] == [True]


def test_what_blocks_comes_first() -> None:
    about = origin(labels={"com.docker.compose.project": "shop"}, layer_changes=1)

    found = preflight(about, ground(containers={"web": True}), Wishes())

    assert [one.severity for one in found] == [Severity.BLOCKS, Severity.WARNS, Severity.WARNS]


SETTLED = {
    "rename": (origin(), ground(containers={"web": True}), Wishes(rename="web2")),
    "present": (
        origin(data=(bound(),)),
        ground(places={"/srv/app": THERE}),
        Wishes(present=frozenset({"/srv/app"})),
    ),
    "present volume, though it is used here and there is no room": (
        origin(data=(volume(users=(user(running=True),)),)),
        ground(volumes={"data": volume(options={"o": "x"}).volume}, free=0, image=IMAGE),
        Wishes(present=frozenset({"data"})),
    ),
    "network": (
        origin(networked("lan"), networks=(network("lan", driver="macvlan"),)),
        ground(networks=(network("other"),)),
        Wishes(networks={"lan": "other"}),
    ),
    "empty directory": (origin(data=(bound(),)), ground(places={"/srv/app": EMPTY}), Wishes()),
    "anonymous volume of the same name": (
        origin(data=(volume("f" * 64, anonymous=True),)),
        ground(volumes={"f" * 64: volume("f" * 64).volume}),
        Wishes(),
    ),
    "volumes of a stopped container": (
        configured(VolumesFrom=["box"]),
        ground(containers={"box": False}),
        Wishes(),
    ),
    "same image there": (origin(), ground(image=IMAGE, tags={"web:1": True}), Wishes()),
    "port of another address": (
        configured(PortBindings={"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]}),
        ground(ports={Port(80, "tcp", "192.0.2.1"): "proxy"}),
        Wishes(),
    ),
    "port of another protocol": (
        configured(PortBindings={"53/udp": [{"HostPort": "53"}]}),
        ground(ports={Port(53, "tcp"): "dns"}),
        Wishes(),
    ),
    "any port": (
        configured(PortBindings={"80/tcp": [{"HostPort": ""}], "81/tcp": [{"HostPort": "1-9"}]}),
        ground(ports={Port(1, "tcp"): "x"}),
        Wishes(),
    ),
}


@pytest.mark.parametrize(("about", "there", "wishes"), SETTLED.values(), ids=SETTLED)
def test_what_is_settled_is_in_order(about: Origin, there: Ground, wishes: Wishes) -> None:
    assert found(about, there, wishes) == {"blocks": [], "warns": []}


WRONG = {
    "network": Wishes(networks={"nope": "other"}),
    "present": Wishes(present=frozenset({"/nope"})),
    "present volume": Wishes(present=frozenset({"nope"})),
}


@pytest.mark.parametrize("wishes", WRONG.values(), ids=WRONG)
def test_a_wish_about_something_that_is_not_there_blocks(wishes: Wishes) -> None:
    (said,) = found(origin(), ground(), wishes)["blocks"]

    assert "leave it out" in said


def test_a_network_that_was_wished_for_must_be_there() -> None:
    about = origin(networked("lan"), networks=(network("lan"),))

    (said,) = found(about, ground(), Wishes(networks={"lan": "other"}))["blocks"]

    assert "docker network create other" in said


@pytest.mark.parametrize("data", [bound(), volume()], ids=["path", "volume"])
def test_what_is_said_to_be_there_must_be_there(data: Data) -> None:
    wishes = Wishes(present=frozenset({data.source}))

    (said,) = found(origin(data=(data,)), ground(places={"/srv/app": ABSENT}), wishes)["blocks"]

    assert "has nothing there" in said


def test_a_taken_port_only_warns_for_a_container_that_will_not_start() -> None:
    document = inspected(
        State={"Running": False}, HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}
    )

    seen = found(origin(document), ground(ports={Port(80, "tcp"): "proxy"}))

    assert (len(seen["blocks"]), len(seen["warns"])) == (0, 1)


def test_an_image_that_is_there_needs_no_room() -> None:
    large = Image(id="x", layers=("a",), config={}, size=1 << 40)
    about = origin(image=replace(large, tags=("web:1",)))

    assert found(about, ground(free=1 << 20, image=large))["blocks"] == []
