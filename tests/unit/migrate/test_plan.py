"""From facts to steps."""

from typing import Any

import pytest

from backup.engine import Found
from backup.errors import UsageError
from backup.migrate.facts import LABEL, Ground, Origin, Wishes
from backup.migrate.plan import moved, plan
from backup.migrate.step import (
    AwaitTarget,
    CopyData,
    CreateContainer,
    MakeNetwork,
    MakePath,
    MakeVolume,
    SendImage,
    StopSource,
    described,
)
from tests.unit.migrate.scenes import IMAGE, bound, ground, host, inspected, lone, network, origin
from tests.unit.migrate.scenes import volume as data_volume

ABSENT = Found(anchor="/srv", free=1 << 40)


def steps(about: Origin, there: Ground | None = None, **wishes: Any) -> list[Any]:
    return list(plan(about, there or ground(), Wishes(**wishes)).steps)


def one(found: list[Any], kind: type[Any]) -> Any:
    (only,) = [step for step in found if isinstance(step, kind)]
    return only


def joined(*names: str, **host_config: object) -> dict[str, Any]:
    mode = {"NetworkMode": names[0], **host_config}
    return inspected(HostConfig=mode, NetworkSettings={"Networks": {name: {} for name in names}})


def test_all_that_can_fail_comes_before_the_stop() -> None:
    about = origin(
        joined("net"), data=(data_volume(), bound()), networks=(network("net", "10.0.0.0/24"),)
    )

    found = steps(about, ground(places={"/srv/app": ABSENT}))

    assert [type(step).__name__ for step in found] == [
        "SendImage",
        "MakeNetwork",
        "MakeVolume",
        "MakePath",
        "CreateContainer",
        "StopSource",
        "CopyData",
        "CopyData",
        "StartTarget",
        "AwaitTarget",
    ]


def test_a_volume_is_made_and_copied_and_nothing_is_stopped() -> None:
    found = steps(lone(data_volume()))

    assert [type(step).__name__ for step in found] == ["MakeVolume", "CopyData"]


def test_a_stopped_container_is_not_started_on_the_target() -> None:
    found = steps(origin(inspected(State={"Running": False})))

    assert one(found, StopSource).was == "stopped"
    assert [type(step).__name__ for step in found][-1] == "StopSource"


def test_the_restart_policy_goes_along_and_is_remembered() -> None:
    found = steps(origin())

    assert one(found, StopSource).policy == ("always", 0)
    policy = one(found, CreateContainer).definition["host_config"]["RestartPolicy"]
    assert policy == {"Name": "always"}


def test_a_volume_keeps_driver_options_and_labels() -> None:
    about = lone(data_volume(labels={"a": "b"}, options={"o": "size=1g"}))

    made = one(steps(about), MakeVolume)

    assert (made.driver, made.options, made.labels) == ("local", {"o": "size=1g"}, {"a": "b"})


def test_the_label_of_an_earlier_migration_does_not_go_along() -> None:
    about = origin(
        joined("net"),
        data=(data_volume(labels={LABEL: "old"}),),
        networks=(network("net", labels={LABEL: "old", "k": "v"}),),
    )

    found = steps(about)

    assert one(found, MakeVolume).labels == {}
    assert one(found, MakeNetwork).labels == {"k": "v"}


def test_an_anonymous_volume_comes_about_with_the_container() -> None:
    found = steps(origin(data=(data_volume("f" * 64, anonymous=True),)))

    assert not [step for step in found if isinstance(step, MakeVolume)]
    assert one(found, CopyData).anonymous


@pytest.mark.parametrize(
    ("api", "labels"), [((1, 41), {}), ((1, 42), {"com.docker.volume.anonymous": ""})]
)
def test_a_lone_anonymous_volume_stays_anonymous(
    api: tuple[int, int], labels: dict[str, str]
) -> None:
    found = steps(lone(data_volume("f" * 64)), ground(host=host(identity="B", api=api)))

    assert one(found, MakeVolume).labels == labels


def test_data_that_are_elsewhere_are_not_copied() -> None:
    about = origin(data=(data_volume(options={"type": "nfs", "device": ":/x"}),))

    found = steps(about)

    assert one(found, MakeVolume).options == {"type": "nfs", "device": ":/x"}
    assert not [step for step in found if isinstance(step, CopyData)]


def test_a_definition_that_is_there_already_is_used() -> None:
    elsewhere = data_volume(options={"type": "nfs", "device": ":/x"})

    found = steps(origin(data=(elsewhere,)), ground(volumes={"data": elsewhere.volume}))

    assert not [step for step in found if isinstance(step, MakeVolume)]


def test_a_path_is_made_below_what_is_there() -> None:
    found = steps(origin(data=(bound(),)), ground(places={"/srv/app": ABSENT}))

    assert one(found, MakePath) == MakePath(path="/srv/app", kind="d", anchor="/srv")


def test_a_path_that_is_present_is_neither_made_nor_copied() -> None:
    about = origin(data=(bound(),))

    found = steps(about, ground(places={"/srv/app": ABSENT}), present=frozenset({"/srv/app"}))

    assert not [step for step in found if isinstance(step, MakePath | CopyData)]


def test_a_volume_that_is_present_is_neither_made_nor_copied() -> None:
    about = origin(data=(data_volume(),))
    there = ground(volumes={"data": about.data[0].volume})

    found = steps(about, there, present=frozenset({"data"}))

    assert not [step for step in found if isinstance(step, MakeVolume | CopyData)]


def test_a_bridge_network_is_made_again_with_all_it_has() -> None:
    wanted = network(
        "net", "10.1.0.0/24", internal=True, options={"mtu": "9"}, labels={"a": "b"}, ipv6=True
    )

    made = one(steps(origin(joined("net"), networks=(wanted,))), MakeNetwork)

    assert (made.name, made.internal, made.ipv6, made.options, made.labels) == (
        "net",
        True,
        True,
        {"mtu": "9"},
        {"a": "b"},
    )
    assert made.ipam["Config"] == [{"Subnet": "10.1.0.0/24"}]


def test_a_network_whose_addresses_are_taken_gets_others() -> None:
    about = origin(joined("net"), networks=(network("net", "10.1.0.0/24"),))

    found = steps(about, ground(networks=(network("theirs", "10.1.0.0/16"),)))

    assert one(found, MakeNetwork).ipam == {"Driver": "default"}


def test_a_network_that_is_there_is_used() -> None:
    about = origin(joined("net"), networks=(network("net"),))

    found = steps(about, ground(networks=(network("net"),)))

    assert not [step for step in found if isinstance(step, MakeNetwork)]


def test_another_network_takes_the_place_of_one_and_its_address_stays_behind() -> None:
    endpoint = {"IPAMConfig": {"IPv4Address": "10.1.0.9"}, "Aliases": ["db"]}
    definition = {"host_config": {"NetworkMode": "net"}, "networks": {"net": endpoint, "x": {}}}

    found = moved(definition, {"net": "other"})

    assert found["host_config"] == {"NetworkMode": "other"}
    assert found["networks"] == {"other": {"Aliases": ["db"]}, "x": {}}


def test_the_default_network_can_be_another_one() -> None:
    definition = {"host_config": {"NetworkMode": "default"}, "networks": {"bridge": {}}}

    found = moved(definition, {"bridge": "other"})

    assert (found["host_config"]["NetworkMode"], found["networks"]) == ("other", {"other": {}})


@pytest.mark.parametrize("mode", ["default", "bridge", "left"])
def test_a_container_that_left_its_first_network_is_made_in_another(mode: str) -> None:
    definition = {"host_config": {"NetworkMode": mode}, "networks": {"net": {}}}

    assert moved(definition, {})["host_config"]["NetworkMode"] == "net"


@pytest.mark.parametrize(
    ("reference", "tags", "name"),
    [
        ("web:1", {}, "web:1"),
        ("web:1", {"web:1": True}, "web:1"),
        ("web:1", {"web:1": False}, ""),
        ("web@sha256:00", {}, ""),
        ("sha256:00", {}, ""),
        ("0123456789ab", {}, ""),
        ("deadbeef", {}, "deadbeef"),
    ],
)
def test_an_image_gets_its_name_where_it_is_free(
    reference: str, tags: dict[str, bool], name: str
) -> None:
    about = origin(inspected(Config={"Image": reference}))

    found = steps(about, ground(tags=tags))

    assert one(found, SendImage).reference == one(found, CreateContainer).reference == name


def test_an_image_that_is_there_is_not_sent() -> None:
    assert one(steps(origin(), ground(image=IMAGE)), SendImage).present


@pytest.mark.parametrize(
    ("check", "awaited"),
    [(None, False), ({"Test": ["NONE"]}, False), ({"Test": ["CMD", "x"]}, True)],
)
def test_health_is_awaited_where_there_is_a_check(check: object, awaited: bool) -> None:
    config = {"Healthcheck": check} if check else {}

    found = steps(origin(inspected(Config=config)), health_timeout_s=7)

    waits = one(found, AwaitTarget)
    assert (waits.health_check, waits.timeout_s) == (awaited, 7)


def test_the_new_name_is_used_throughout() -> None:
    found = steps(origin(), rename="web2")

    assert one(found, CreateContainer).name == one(found, AwaitTarget).name == "web2"
    assert one(found, StopSource).name == "web"


def test_nobody_else_may_move_what_belongs_to_it() -> None:
    made = plan(origin(data=(data_volume(), bound())), ground(), Wishes())

    assert made.claims == ("container:web", "volume:data", "path:/srv/app")
    assert made.size == 2 << 20


def test_wishes_for_containers_are_refused_for_a_volume() -> None:
    with pytest.raises(UsageError, match="for containers"):
        plan(lone(data_volume()), ground(), Wishes(rename="x"))


def test_every_step_can_be_told() -> None:
    about = origin(joined("net"), data=(data_volume(), bound()), networks=(network("net"),))

    told = [described(step) for step in steps(about, ground(places={"/srv/app": ABSENT}))]

    assert len(set(told)) == len(told) == 10
