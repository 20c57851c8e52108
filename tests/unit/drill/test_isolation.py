"""Whatever a definition asks for, its container in a drill has nothing but what is in it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.drill.isolation import Place, Surroundings, isolated, mounting
from backup.engine import request

AROUND = Surroundings(
    name="voltar-drill-x-1",
    network="voltar-drill-x",
    labels={"voltar.drill-run": "x"},
    memory=8 << 30,
)
PLACES = [
    Place(source="voltar-drill-x-2", destination="/data", read_only=False),
    Place(source="voltar-drill-x-3", destination="/new", read_only=True, fresh=True),
]
BENIGN: dict[str, Any] = {
    "name": "web",
    "running": True,
    "image": {"id": "sha256:1", "config": {"Labels": {"traefik.http.x": "1", "vendor": "y"}}},
    "config": {
        "Env": ["A=1"],
        "Cmd": ["serve"],
        "User": "33",
        "Hostname": "web",
        "Healthcheck": {"Test": ["CMD", "true"]},
        "Labels": {"com.docker.compose.project": "shop", "voltar.pre": "rm -rf /"},
    },
    "host_config": {"NetworkMode": "shop_default", "Memory": 1 << 20, "CapDrop": ["ALL"]},
    "networks": {"shop_default": {"Aliases": ["db"], "IPAMConfig": {"IPv4Address": "10.0.0.9"}}},
    "mounts": [],
}
HOSTILE = {
    "Binds": ["/prod:/prod", "prod:/data:rw", "/var/run/docker.sock:/var/run/docker.sock"],
    "Mounts": [
        {"Type": "bind", "Source": "/prod", "Target": "/prod"},
        {"Type": "volume", "Source": "prod", "Target": "/v",
         "VolumeOptions": {"DriverConfig": {"Options": {"o": "bind", "device": "/prod"}}}},
        {"Type": "npipe", "Source": "prod", "Target": "/n"},
        {"Type": "image", "Source": "prod", "Target": "/i"},
    ],
    "VolumesFrom": ["prod:rw"],
    "VolumeDriver": "prod",
    "NetworkMode": "container:prod",
    "PidMode": "host",
    "IpcMode": "container:prod",
    "UTSMode": "host",
    "UsernsMode": "host",
    "CgroupnsMode": "host",
    "Cgroup": "prod",
    "CgroupParent": "/prod",
    "Privileged": True,
    "CapAdd": ["ALL"],
    "Devices": [{"PathOnHost": "/dev/prod"}],
    "DeviceRequests": [{"Driver": "prod"}],
    "DeviceCgroupRules": ["a *:* rwm prod"],
    "SecurityOpt": ["seccomp=unconfined", "apparmor=prod", "no-new-privileges"],
    "MaskedPaths": [],
    "ReadonlyPaths": [],
    "Links": ["prod:db"],
    "ExtraHosts": ["prod:10.0.0.1"],
    "Dns": ["10.0.0.1"],
    "DnsSearch": ["prod"],
    "DnsOptions": ["prod"],
    "PortBindings": {"80/tcp": [{"HostPort": "80", "HostIp": "prod"}]},
    "PublishAllPorts": True,
    "RestartPolicy": {"Name": "always"},
    "AutoRemove": True,
    "LogConfig": {"Type": "syslog", "Config": {"syslog-address": "tcp://prod:1"}},
    "Runtime": "prod",
    "StorageOpt": {"prod": "1"},
    "Annotations": {"prod": "1"},
    "ContainerIDFile": "/prod",
    "OomScoreAdj": -1000,
    "BlkioDeviceWriteBps": [{"Path": "/dev/prod"}],
    "SomethingNew": {"of": "prod"},
}  # fmt: skip


def made(**changes: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    return isolated({**BENIGN, **changes}, AROUND, PLACES)


def test_what_is_in_the_container_stays_as_it_was():
    definition, left_out = made()

    config, host = definition["config"], definition["host_config"]
    for key in ("Env", "Cmd", "User", "Hostname", "Healthcheck"):
        assert config[key] == BENIGN["config"][key]
    assert (host["Memory"], host["CapDrop"]) == (1 << 20, ["ALL"])
    assert definition["networks"] == {"voltar-drill-x": {"Aliases": ["db", "web"]}}
    assert left_out == ("the network shop_default",)


def test_nothing_that_a_hostile_definition_names_is_left():
    networks = {"prod": {"Links": ["prod"], "MacAddress": "02:42:00:00:00:01", "DriverOpts": {}}}
    config = {"Labels": {"prod": "1"}, "MacAddress": "prod", "Volumes": {"/prod": {}}, "Env": []}

    definition, left_out = made(host_config=HOSTILE, networks=networks, config=config)

    assert "prod" not in json.dumps(definition)
    host = definition["host_config"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert (host["Privileged"], host["AutoRemove"], host["PublishAllPorts"]) == (False,) * 3
    assert (host["RestartPolicy"], host["IpcMode"]) == ({"Name": "no"}, "private")
    assert {"Annotations", "SomethingNew", "privileges", "links", "the runtime"} <= {*left_out}


@pytest.mark.parametrize("key", HOSTILE)
def test_each_hostile_value_is_told(key):
    _, left_out = made(host_config={key: HOSTILE[key]})

    silent = {"Binds", "Mounts", "VolumesFrom", "VolumeDriver"}  # told mount by mount
    silent |= {"CgroupnsMode", "MaskedPaths", "ReadonlyPaths", "StorageOpt"}  # the engine's own
    assert bool([one for one in left_out if one != "the network shop_default"]) == (
        key not in silent
    )


@given(
    st.dictionaries(
        st.sampled_from([*HOSTILE, "Unknown"]),
        st.one_of(st.just("PROD"), st.just(["PROD"]), st.just({"PROD": "PROD"}), st.none()),
    )
)
def test_no_value_of_any_form_gets_through(host):
    host.pop("Mounts", None)  # these are looked into
    host.pop("LogConfig", None)
    host.pop("RestartPolicy", None)

    definition, _ = made(host_config=host)

    assert "PROD" not in json.dumps(definition)


def test_who_acts_on_labels_sees_none_but_those_that_say_leave_it_alone():
    labels = made()[0]["config"]["Labels"]

    assert labels["voltar.drill-run"] == "x"
    assert labels["com.centurylinklabs.watchtower.enable"] == "false"
    assert labels["traefik.http.x"] == ""
    assert not {"com.docker.compose.project", "voltar.pre", "vendor"} & {*labels}


def test_a_container_without_limits_gets_some():
    host = made(host_config={})[0]["host_config"]

    assert (host["Memory"], host["PidsLimit"]) == (4 << 30, 4096)


def test_one_without_a_network_has_none():
    definition, _ = made(host_config={"NetworkMode": "none"}, networks={"none": {}})

    assert (definition["networks"], definition["host_config"]["NetworkMode"]) == ({}, "none")


def test_engines_old_and_new_are_asked_for_the_same_mounts():
    for api in ((1, 41), (1, 51)):
        body = request(made()[0], "sha256:1", api).body

        first, second = body["HostConfig"]["Mounts"]
        assert (first["Source"], first["VolumeOptions"]) == ("voltar-drill-x-2", {"NoCopy": True})
        assert (second["ReadOnly"], "VolumeOptions" in second) == (True, False)
        assert [*body["NetworkingConfig"]["EndpointsConfig"]] == ["voltar-drill-x"]


def test_mounts_are_replaced_or_left_out_and_said():
    definition = {
        "mounts": [
            {"type": "volume", "name": "data", "destination": "/data"},
            {"type": "volume", "name": "cache", "destination": "/cache", "read_only": True},
            {"type": "bind", "source": "/etc/app", "destination": "/etc/app", "read_only": True},
            {"type": "bind", "source": "/var/run/docker.sock", "destination": "/run/docker.sock"},
            {"type": "tmpfs", "destination": "/tmp"},
            {"type": "npipe", "destination": "/pipe"},
        ]
    }

    found = mounting(definition, ["volume:data", "path:/etc/app"])

    assert found.restored == (
        ("volume:data", "/data", False),
        ("path:/etc/app", "/etc/app", True),
    )
    assert found.empty == (("/cache", True),)
    assert [one.split(" ")[0] for one in found.left_out] == [
        "volume:cache",
        "path:/var/run/docker.sock",
        "the",
    ]
