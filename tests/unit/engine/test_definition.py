"""From what the engine shows of a container to what creates it again."""

import json
from typing import Any

import pytest

from backup.engine.definition import environment, reduce

ID = "0123456789ab" + "c" * 52


def inspected(**changes: Any) -> dict[str, Any]:
    """What an engine shows of a plain container, with some parts of it exchanged."""
    base: dict[str, Any] = {
        "Id": ID,
        "Name": "/web",
        "Created": "2026-01-02T03:04:05.6Z",
        "Image": "sha256:aa",
        "Platform": "linux",
        "State": {"Running": True, "Paused": False},
        "Config": {"Image": "web:1", "Hostname": ID[:12], "Env": ["A=1", "B=2=3"]},
        "HostConfig": {"NetworkMode": "default", "ContainerIDFile": "/x", "ConsoleSize": [0, 0]},
        "NetworkSettings": {"Networks": {}},
        "Mounts": [],
    }
    return base | changes


IMAGE = {
    "RepoTags": ["web:1"],
    "RepoDigests": ["web@sha256:bb"],
    "Config": {"Env": ["A=1"], "Entrypoint": ["/start"]},
    "RootFS": {"Layers": ["sha256:l1"]},
    "Architecture": "amd64",
}


def test_a_definition_is_plain_json() -> None:
    definition = reduce(inspected(), IMAGE, engine_version="20.10")

    assert json.loads(json.dumps(definition)) == definition
    assert definition["name"] == "web"
    assert definition["image"]["repo_digests"] == ["web@sha256:bb"]
    assert definition["image"]["reference"] == "web:1"
    assert definition["engine_version"] == "20.10"


def test_a_container_whose_image_is_gone_has_a_definition() -> None:
    definition = reduce(inspected(), None)

    assert definition["image"]["config"] is None
    assert definition["image"]["id"] == "sha256:aa"


def test_a_host_name_made_from_the_id_is_left_out() -> None:
    assert "Hostname" not in reduce(inspected(), IMAGE)["config"]


def test_a_host_name_that_was_given_is_kept() -> None:
    config = {"Hostname": "db1", "Image": "web:1"}

    assert reduce(inspected(Config=config), IMAGE)["config"]["Hostname"] == "db1"


@pytest.mark.parametrize(
    "host", [{"NetworkMode": "host"}, {"NetworkMode": "container:x"}, {"UTSMode": "host"}]
)
def test_a_host_name_that_belongs_to_another_is_left_out(host: dict[str, str]) -> None:
    config = {"Hostname": "thehost", "Domainname": "d"}

    definition = reduce(inspected(Config=config, HostConfig=host), IMAGE)

    assert definition["config"] == {"Entrypoint": [""]}


def test_a_cleared_entry_point_stays_cleared() -> None:
    config = {"Entrypoint": None, "Cmd": ["sh"]}

    assert reduce(inspected(Config=config), IMAGE)["config"]["Entrypoint"] == [""]


def test_an_absent_entry_point_stays_absent_where_the_image_has_none() -> None:
    config = {"Entrypoint": None, "Cmd": ["sh"]}

    assert reduce(inspected(Config=config), {"Config": {}})["config"]["Entrypoint"] is None


def test_what_only_this_moment_knows_is_left_out() -> None:
    host = reduce(inspected(), IMAGE)["host_config"]

    assert host == {"NetworkMode": "default"}


def test_ids_of_other_containers_become_names() -> None:
    host = {
        "NetworkMode": "container:aa",
        "PidMode": "container:bb",
        "IpcMode": "shareable",
        "VolumesFrom": ["cc:ro", "dd"],
        "Links": ["/database:/web/db", "/cache:/web/cache"],
    }

    found = reduce(inspected(HostConfig=host), IMAGE, name_of=str.upper)["host_config"]

    assert found == {
        "NetworkMode": "container:AA",
        "PidMode": "container:BB",
        "IpcMode": "shareable",
        "VolumesFrom": ["CC:ro", "DD"],
        "Links": ["database:db", "cache:cache"],
    }


def test_addresses_that_the_engine_gave_are_left_out() -> None:
    networks = {
        "back": {
            "IPAMConfig": {"IPv4Address": "10.9.0.5"},
            "Aliases": ["api", ID[:12]],
            "Links": None,
            "NetworkID": "n",
            "IPAddress": "10.9.0.5",
            "MacAddress": "02:42:0a:09:00:05",
            "DriverOpts": {"k": "v"},
        }
    }

    found = reduce(inspected(NetworkSettings={"Networks": networks}), IMAGE)["networks"]

    assert found == {
        "back": {
            "IPAMConfig": {"IPv4Address": "10.9.0.5"},
            "DriverOpts": {"k": "v"},
            "Aliases": ["api"],
        }
    }


def test_a_mac_address_that_was_asked_for_is_kept() -> None:
    networks = {"bridge": {"MacAddress": "02:00:00:00:00:01", "Aliases": ["x"]}}
    config = {"MacAddress": "02:00:00:00:00:01"}

    found = reduce(inspected(Config=config, NetworkSettings={"Networks": networks}), None)

    assert found["networks"] == {"bridge": {"MacAddress": "02:00:00:00:00:01"}}


def test_anonymous_volumes_can_be_told_from_requested_ones() -> None:
    mounts = [
        {"Type": "volume", "Name": "data", "Destination": "/data", "RW": True, "Driver": "local"},
        {"Type": "volume", "Name": "f" * 64, "Destination": "/anon", "RW": True},
        {"Type": "bind", "Source": "/srv", "Destination": "/srv", "RW": False},
    ]
    host = {"Binds": ["data:/data"], "Mounts": [{"Source": "/srv", "Target": "/srv/"}]}

    found = reduce(inspected(Mounts=mounts, HostConfig=host), IMAGE)["mounts"]

    assert [one["requested"] for one in found] == [True, False, True]
    assert [one["read_only"] for one in found] == [False, False, True]


@pytest.mark.parametrize("place", ["/app//data", "/app/./data", "/app/x/../data/", "//app/data"])
def test_a_requested_volume_is_one_however_its_place_is_written(place: str) -> None:
    mounts = [{"Type": "volume", "Name": "data", "Destination": "/app/data"}]

    for host in (
        {"Binds": [f"data:{place}:ro"]},
        {"Mounts": [{"Source": "data", "Target": place}]},
    ):
        (found,) = reduce(inspected(Mounts=mounts, HostConfig=host), IMAGE)["mounts"]

        assert found["requested"]


def test_the_users_environment_is_told_from_the_images() -> None:
    assert environment(reduce(inspected(), IMAGE)) == {"B": "2=3"}
