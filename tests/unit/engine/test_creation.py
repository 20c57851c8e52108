"""From a definition to the request that an engine of some version takes."""

from typing import Any

import pytest

from backup.engine.creation import Port, fixed_ports, request, unknown, unknown_vital
from backup.engine.definition import reduce
from tests.unit.engine.test_definition import ID, inspected

OLD, NEW = (1, 41), (1, 51)


def definition(**changes: Any) -> dict[str, Any]:
    return reduce(inspected(**changes), None)


def networked(mode: str, **networks: dict[str, Any]) -> dict[str, Any]:
    return definition(HostConfig={"NetworkMode": mode}, NetworkSettings={"Networks": networks})


def ends(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["NetworkingConfig"]["EndpointsConfig"]
    return found


def test_the_image_is_that_of_the_target() -> None:
    made = request(definition(), "sha256:there", NEW)

    assert (made.body["Image"], made.body["Env"]) == ("sha256:there", ["A=1", "B=2=3"])


def test_a_new_engine_takes_all_networks_at_once() -> None:
    both = networked("a", a={"Aliases": ["x"]}, b={"Aliases": ["y"]})

    made = request(both, "i", NEW)

    assert (ends(made.body), made.later) == ({"a": {"Aliases": ["x"]}, "b": {"Aliases": ["y"]}}, {})


def test_an_old_engine_takes_its_own_network_first_and_others_later() -> None:
    both = networked("b", a={"Aliases": ["x"]}, b={"Aliases": ["y"]})

    made = request(both, "i", OLD)

    assert ends(made.body) == {"b": {"Aliases": ["y"]}}
    assert made.later == {"a": {"Aliases": ["x"]}}


@pytest.mark.parametrize("mode", ["default", "host", "none"])
def test_nothing_is_said_of_what_every_container_gets(mode: str) -> None:
    name = "bridge" if mode == "default" else mode

    assert ends(request(networked(mode, **{name: {}}), "i", OLD).body) == {}


@pytest.mark.parametrize("api", [OLD, NEW])
@pytest.mark.parametrize("mode", ["net", "bridge", "default"])
def test_the_bridge_is_asked_for_beside_another_network(api: tuple[int, int], mode: str) -> None:
    made = request(networked(mode, net={}, bridge={}), "i", api)

    assert ends(made.body) | made.later == {"net": {}, "bridge": {}}


MAC = "02:00:00:00:00:07"


@pytest.mark.parametrize(("api", "config", "endpoint"), [(OLD, MAC, None), (NEW, None, MAC)])
def test_a_mac_address_is_asked_for_where_the_engine_looks(
    api: tuple[int, int], config: str | None, endpoint: str | None
) -> None:
    given = definition(
        Config={"MacAddress": MAC, "Image": "i"},
        HostConfig={"NetworkMode": "net"},
        NetworkSettings={"Networks": {"net": {"MacAddress": MAC, "Aliases": ["x"]}}},
    )

    body = request(given, "i", api).body

    assert body.get("MacAddress") == config
    assert ends(body)["net"].get("MacAddress") == endpoint


def test_fields_that_an_engine_does_not_know_are_left_out_and_named() -> None:
    given = definition(
        Config={"Healthcheck": {"StartInterval": 5}},
        HostConfig={
            "Annotations": {"a": "b"},
            "KernelMemory": 0,
            "Mounts": [{"Target": "/x", "BindOptions": {"CreateMountpoint": True}}],
        },
        NetworkSettings={"Networks": {"net": {"GwPriority": 1}}},
    )

    assert "Annotations" not in request(given, "i", OLD).body["HostConfig"]
    assert unknown(given, OLD) == [
        "Annotations",
        "BindOptions.CreateMountpoint",
        "Healthcheck.StartInterval",
        "endpoint.GwPriority",
    ]
    assert unknown(given, NEW) == []


def test_fields_that_are_gone_are_named_where_they_were_used() -> None:
    assert unknown(definition(HostConfig={"KernelMemory": 9}), NEW) == ["KernelMemory"]
    assert unknown(definition(HostConfig={"KernelMemory": 9}), OLD) == []


def test_what_decides_over_data_is_told_apart() -> None:
    given = definition(HostConfig={"Mounts": [{"VolumeOptions": {"Subpath": "a"}}]})

    assert unknown_vital(given, (1, 44)) == ["VolumeOptions.Subpath"]
    assert unknown_vital(given, (1, 45)) == unknown(given, (1, 44)) == []


def test_ports_that_the_image_exposes_are_refused_in_the_network_of_another() -> None:
    config: dict[str, Any] = {"ExposedPorts": {"80/tcp": {}}}
    joined = {"NetworkMode": "container:vpn"}

    assert "ExposedPorts" in definition(Config=config)["config"]
    assert "ExposedPorts" not in definition(Config=config, HostConfig=joined)["config"]


@pytest.mark.parametrize("mode", ["n" * 64, "n" * 12])
def test_a_network_that_was_named_by_its_id_gets_its_name(mode: str) -> None:
    given = networked(mode, net={"NetworkID": "n" * 64})

    assert given["host_config"]["NetworkMode"] == "net"


@pytest.mark.parametrize("mode", ["default", "host", "mynetwork-x", ID])
def test_other_network_modes_stay(mode: str) -> None:
    given = networked(mode, net={"NetworkID": "n" * 64})

    assert given["host_config"]["NetworkMode"] == mode


def test_ports_that_are_asked_for_are_told_from_those_that_any_will_do() -> None:
    bindings = {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
        "1/tcp": [{"HostPort": ""}, {"HostPort": "0"}, {"HostPort": "1000-2000"}],
        "2/tcp": None,
    }

    found = fixed_ports(definition(HostConfig={"PortBindings": bindings}))

    assert found == [Port(53, "udp", "127.0.0.1"), Port(8080, "tcp")]


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        (Port(80, "tcp"), Port(80, "tcp", "127.0.0.1"), True),
        (Port(80, "tcp", "10.0.0.1"), Port(80, "tcp", "127.0.0.1"), False),
        (Port(80, "tcp"), Port(80, "udp"), False),
        (Port(80, "tcp"), Port(81, "tcp"), False),
    ],
)
def test_ports_meet_where_one_host_cannot_give_both(one: Port, other: Port, meets: bool) -> None:
    assert (one.meets(other), other.meets(one)) == (meets, meets)
