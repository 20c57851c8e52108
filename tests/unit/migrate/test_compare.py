"""Two definitions side by side."""

from typing import Any

import pytest

from backup.engine.definition import reduce
from backup.migrate.compare import differences
from tests.unit.migrate.scenes import inspected

NEW = (1, 51)


def differing(one: dict[str, Any], other: dict[str, Any], api: tuple[int, int] = NEW) -> list[str]:
    sides = [reduce(inspected(**changes), None) for changes in (one, other)]
    return [str(each) for each in differences(sides[0], sides[1], api)]


def test_the_same_container_does_not_differ() -> None:
    full = {"Config": {"Env": ["A=1"]}, "HostConfig": {"Memory": 7}}

    assert differing(full, full) == []


CHANGED = {
    "env": ({"Config": {"Env": ["A=1"]}}, {"Config": {"Env": ["A=2"]}}, "config.Env.0"),
    "lost": ({"HostConfig": {"Memory": 7}}, {}, "host_config.Memory: 7 on the source, not set"),
    "gained": ({}, {"HostConfig": {"Privileged": True}}, "host_config.Privileged: not set"),
    "longer": ({"Config": {"Cmd": ["a"]}}, {"Config": {"Cmd": ["a", "b"]}}, "config.Cmd: ['a']"),
    "network": (
        {"NetworkSettings": {"Networks": {"x": {"DriverOpts": {"a": "b"}}}}},
        {},
        "networks.x: {'DriverOpts': {'a': 'b'}",
    ),
    "unconfigured network": (
        {"NetworkSettings": {"Networks": {"x": {}}}},
        {},
        "networks.x: {'connected': 'yes'} on the source, not set",
    ),
    "mount": (
        {"Mounts": [{"Type": "volume", "Name": "a", "Destination": "/d", "RW": True}]},
        {},
        "mounts./d: {'type': 'volume'",
    ),
}


@pytest.mark.parametrize(("one", "other", "words"), CHANGED.values(), ids=CHANGED)
def test_what_differs_is_named(one: dict[str, Any], other: dict[str, Any], words: str) -> None:
    assert any(words in said for said in differing(one, other)), differing(one, other)


ALLOWED = {
    "image": ({"Config": {"Image": "sha256:a"}}, {"Config": {"Image": "sha256:b"}}),
    "null": ({"HostConfig": {"Binds": None}}, {"HostConfig": {"Binds": []}}),
    "zero": ({"HostConfig": {"Memory": 0}}, {}),
    "oom": ({"HostConfig": {"OomKillDisable": False}}, {"HostConfig": {"OomKillDisable": None}}),
    "swappiness": ({"HostConfig": {"MemorySwappiness": -1}}, {}),
    "entry point": ({"Config": {"Entrypoint": [""]}}, {"Config": {"Entrypoint": None}}),
    "default network": ({}, {"HostConfig": {"NetworkMode": "bridge"}}),
    "masked": (
        {"HostConfig": {"MaskedPaths": ["/a"]}},
        {"HostConfig": {"MaskedPaths": ["/b", "/c"]}},
    ),
    "anonymous": (
        {"Mounts": [{"Type": "volume", "Name": "a" * 64, "Destination": "/d", "RW": True}]},
        {"Mounts": [{"Type": "volume", "Name": "b" * 64, "Destination": "/d", "RW": True}]},
    ),
}


@pytest.mark.parametrize(("one", "other"), ALLOWED.values(), ids=ALLOWED)
def test_what_engines_decide_may_differ(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert differing(one, other) == []


def test_a_named_volume_must_be_the_same() -> None:
    def mounted(name: str) -> dict[str, Any]:
        return {
            "HostConfig": {"Binds": [f"{name}:/d"]},
            "Mounts": [{"Type": "volume", "Name": name, "Destination": "/d", "RW": True}],
        }

    assert any("mounts./d.name: 'a'" in said for said in differing(mounted("a"), mounted("b")))


def test_what_the_target_does_not_know_was_told_before() -> None:
    annotated = {"HostConfig": {"Annotations": {"a": "b"}}}

    assert differing(annotated, {}, (1, 41)) == []
    assert differing(annotated, {}, (1, 51)) != []
