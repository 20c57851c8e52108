"""What a helper sees: every kind of mount, at every place, and nothing that it should not touch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.engine import (
    Access,
    Attached,
    Engine,
    Mount,
    VolumesFrom,
    container,
    containers,
    create_volume,
    helper,
    remove_volume,
    users,
    volume,
    volumes,
)
from backup.errors import EngineError, HelperFailed, InUse, NotOnEngine
from tests.integration.engine_side import connected
from tests.testbed import engine as testbed
from tests.testbed import images
from tests.testbed.scratch import Scratch

HIDING = ("/usr", "/lib", "/bin", "/lib64", "/sbin", "/root", "/var")


@pytest.fixture(scope="module")
def voltar(every_engine: testbed.Engine) -> Iterator[Engine]:
    """A connection whose data plane is found out, as a user's would be."""
    with connected(every_engine) as connection:
        yield connection


def put(scratch: Scratch, volume: str, path: str, content: str) -> None:
    """Write a file into a volume."""
    (scratch.engine.volume_directory(volume) / path).write_text(content)


def seen(voltar: Engine, name: str, path: str) -> str:
    """What a helper that mounts what a container mounts reads at a path."""
    with helper(voltar, VolumesFrom(name), access=Access.READ, run="t") as h:
        return h.run(["cat", path]).decode()


def test_volumes_may_hide_every_usual_place_of_tools(
    voltar: Engine, scratch: Scratch, image: str
) -> None:
    names = {place: scratch.volume() for place in HIDING}
    for place, name in names.items():
        put(scratch, name, "file", place)
    options = [word for place, name in names.items() for word in ("-v", f"{name}:{place}")]
    target = scratch.container(image, "true", options=options)

    with helper(voltar, VolumesFrom(target), access=Access.READ, run="t") as h:
        for place in HIDING:
            with h.reading(["tar", "-C", place, "--acls", "--xattrs", "-cf", "-", "."]) as stream:
                assert place.encode() in b"".join(bytes(block) for block in stream)
            assert stream.stderr == ""
            listed = h.run(["find", place, "-printf", "%P %y\\n"]).decode()
            assert listed == " d\nfile f\n"


def test_a_volume_on_etc_is_read_whole_when_it_is_mounted_elsewhere(
    voltar: Engine, scratch: Scratch, image: str
) -> None:
    name = scratch.volume()
    put(scratch, name, "hosts", "mine")
    target = scratch.running(image, "true", options=["-v", f"{name}:/etc"])

    (mount,) = container(voltar, target).mounts

    assert mount.nested == ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
    with helper(voltar, (Attached(name, "/v"),), access=Access.READ, run="t") as h:
        assert h.run(["cat", "/v/hosts"]) == b"mine"
    with helper(voltar, VolumesFrom(target), access=Access.READ, run="t") as h:
        assert b"hosts f\n" in h.run(["find", "/etc", "-printf", "%P %y\\n"])


def test_a_library_that_a_volume_wants_preloaded_is_not_loaded(
    voltar: Engine, scratch: Scratch, image: str
) -> None:
    """The loader complains about a library that is not there, if it reads the file at all."""
    name = scratch.volume()
    put(scratch, name, "ld.so.preload", "/etc/evil.so\n")
    target = scratch.container(image, "true", options=["-v", f"{name}:/etc"])
    trap = scratch.engine.attempt("run", "--rm", "-v", f"{name}:/etc", image, "true")
    assert b"/etc/evil.so" in trap.stderr

    with (
        helper(voltar, VolumesFrom(target), access=Access.WRITE, run="t") as h,
        h.reading(["tar", "-C", "/etc", "-cf", "-", "."]) as stream,
    ):
        pass

    assert (stream.status, stream.stderr) == (0, "")


@pytest.mark.parametrize("access", Access, ids=lambda access: access.name.lower())
def test_a_reading_helper_cannot_write_and_a_writing_one_can(
    voltar: Engine, scratch: Scratch, access: Access
) -> None:
    name = scratch.volume()

    with helper(voltar, (Attached(name, "/v"),), access=access, run="t") as h:
        if access is Access.WRITE:
            assert h.run(["touch", "/v/new"]) == b""
        else:
            with pytest.raises(HelperFailed, match="Read-only file system"):
                h.run(["touch", "/v/new"])


def test_a_helper_has_no_network_no_log_and_few_capabilities(
    voltar: Engine, every_engine: testbed.Engine
) -> None:
    with helper(voltar, (), access=Access.READ, run="the-run", labels={"x": "y"}) as h:
        found = every_engine.client.api.inspect_container(h.id)
        status = h.run(["cat", "/proc/self/status"]).decode()

    host = found["HostConfig"]
    effective = next(one.split()[1] for one in status.splitlines() if one.startswith("CapEff:"))
    assert int(effective, 16) == (1 << 2) | (1 << 21)  # DAC_READ_SEARCH, SYS_ADMIN
    assert host["NetworkMode"] == "none"
    assert host["LogConfig"]["Type"] == "none"
    assert host["ReadonlyRootfs"]
    assert found["Config"]["Labels"]["voltar.run"] == "the-run"
    assert found["Config"]["Labels"]["x"] == "y"


def test_sys_admin_can_be_dropped(every_engine: testbed.Engine) -> None:
    with (
        connected(every_engine, VOLTAR_HELPER_NO_SYS_ADMIN="1") as voltar,
        helper(voltar, (), access=Access.READ, run="t") as h,
    ):
        status = h.run(["cat", "/proc/self/status"]).decode()

    effective = next(one.split()[1] for one in status.splitlines() if one.startswith("CapEff:"))
    assert int(effective, 16) == 1 << 2


def test_every_kind_of_mount_is_found_and_read(
    voltar: Engine, scratch: Scratch, image: str, tmp_path: Path
) -> None:
    named = scratch.volume("--label", "purpose=test")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/inside").write_text("bind directory")
    (tmp_path / "conf").write_text("bind file")
    put(scratch, named, "inside", "named")
    options = ["-v", f"{named}:/named:ro", "-v", "/anonymous", "-v", f"{tmp_path}/dir:/dir"]
    options += ["-v", f"{tmp_path}/conf:/etc/app.conf:ro", "--tmpfs", "/scratch"]
    options += ["--mount", "type=tmpfs,target=/more", "-v", "/proc:/host/proc:ro"]
    name = scratch.running(
        image, "sh", "-c", "echo anonymous >/anonymous/inside; sleep 1000", options=options
    )

    found = container(voltar, name)

    mounts = {one.destination: one for one in found.mounts}
    assert sorted(mounts) == ["/anonymous", "/dir", "/etc/app.conf", "/named"]
    assert dict(found.skipped) == {
        "/scratch": "it is in memory",
        "/more": "it is in memory",
        "/host/proc": "it belongs to the kernel",
    }
    assert mounts["/dir"] == Mount(
        kind="bind", source=f"{tmp_path}/dir", destination="/dir", read_only=False
    )
    assert mounts["/named"].read_only
    assert mounts["/named"].volume == volume(voltar, named)
    assert mounts["/named"].volume.labels == {"purpose": "test"}
    anonymous = mounts["/anonymous"].volume
    assert anonymous is not None
    assert anonymous.anonymous
    assert seen(voltar, name, "/named/inside") == "named"
    assert seen(voltar, name, "/anonymous/inside") == "anonymous\n"
    assert seen(voltar, name, "/dir/inside") == "bind directory"
    assert seen(voltar, name, "/etc/app.conf") == "bind file"


def test_inherited_volumes_are_found_and_read(voltar: Engine, scratch: Scratch, image: str) -> None:
    name = scratch.volume()
    put(scratch, name, "file", "inherited")
    first = scratch.container(image, "true", options=["-v", f"{name}:/data"])
    second = scratch.container(image, "true", options=["--volumes-from", f"{first}:ro"])

    (mount,) = container(voltar, second).mounts

    assert (mount.source, mount.destination, mount.read_only) == (name, "/data", True)
    assert seen(voltar, second, "/data/file") == "inherited"


def test_nested_mounts_are_told_and_can_be_read_apart(
    voltar: Engine, scratch: Scratch, image: str
) -> None:
    outer, inner = scratch.volume(), scratch.volume()
    put(scratch, outer, "hidden", "x")
    put(scratch, inner, "file", "inner")
    options = ["-v", f"{outer}:/data", "-v", f"{inner}:/data/hidden.d"]
    name = scratch.running(image, "true", options=options)

    found = {one.destination: one for one in container(voltar, name).mounts}

    assert found["/data"].nested == ("/data/hidden.d",)
    assert found["/data/hidden.d"].nested == ()
    alone = (Attached(outer, "/data"),)
    with helper(voltar, alone, access=Access.READ, run="t") as h:
        assert h.run(["find", "/data", "-name", "file"]) == b""
    assert seen(voltar, name, "/data/hidden.d/file") == "inner"


def test_a_volume_whose_owner_is_removed_meanwhile_survives(
    voltar: Engine, scratch: Scratch, image: str
) -> None:
    """The helper inherited an anonymous volume; removing the helper must not remove it."""
    owner = scratch.container(image, "true", options=["-v", "/data"])
    (mount,) = container(voltar, owner).mounts
    scratch.claim(volumes=[mount.source])

    with helper(voltar, VolumesFrom(owner), access=Access.READ, run="t"):
        scratch.engine.docker("rm", owner)

    assert volume(voltar, mount.source).name == mount.source


def test_a_volume_that_is_missing_is_not_made(voltar: Engine, scratch: Scratch) -> None:
    name = scratch.name("missing")

    with (
        pytest.raises(NotOnEngine, match=f"no volume '{name}'"),
        helper(voltar, (Attached(name, "/v"),), access=Access.READ, run="t"),
    ):
        pass

    assert name not in [one.name for one in volumes(voltar)]


def test_a_directory_that_is_missing_is_not_made(voltar: Engine, run_directory: Path) -> None:
    path = run_directory / "missing"

    with (
        pytest.raises(EngineError, match="bind source path does not exist"),
        helper(voltar, (Attached(str(path), "/v"),), access=Access.READ, run="t"),
    ):
        pass

    assert not path.exists()


def test_what_the_image_has_is_not_copied_into_an_empty_volume(
    voltar: Engine, scratch: Scratch
) -> None:
    name = scratch.volume()

    with helper(voltar, (Attached(name, "/.voltar/lib/x"),), access=Access.READ, run="t"):
        pass
    with helper(voltar, (Attached(name, "/v"),), access=Access.READ, run="t") as h:
        assert h.run(["find", "/v", "-mindepth", "1"]) == b""


def test_volumes_are_created_with_what_they_had(voltar: Engine, scratch: Scratch) -> None:
    name = scratch.name("made")
    scratch.claim(volumes=[name])

    made = create_volume(
        voltar, name, options={"type": "tmpfs", "device": "tmpfs"}, labels={"a": "b"}
    )

    assert volume(voltar, name) == made
    assert (made.options["type"], made.labels, made.anonymous) == ("tmpfs", {"a": "b"}, False)
    with pytest.raises(InUse, match="there is a volume"):
        create_volume(voltar, name)
    remove_volume(voltar, name)
    with pytest.raises(NotOnEngine):
        remove_volume(voltar, name)


def test_the_users_of_a_volume_are_told(voltar: Engine, scratch: Scratch, image: str) -> None:
    name = scratch.volume()
    stopped = scratch.container(image, "true", options=["-v", f"{name}:/data"])
    active = scratch.running(image, "sleep", "1000", options=["-v", f"{name}:/data"])
    scratch.running(image, "sleep", "1000", options=["-v", f"/{name}"])
    paused = scratch.running(image, "sleep", "1000", options=["-v", f"{name}:/data"])
    scratch.engine.docker("pause", paused)

    with helper(voltar, (Attached(name, "/v"),), access=Access.READ, run="t"):
        found = {one.name: (one.running, one.paused) for one in users(voltar, name)}

    assert found == {stopped: (False, False), active: (True, False), paused: (True, True)}
    with pytest.raises(InUse, match="in use"):
        remove_volume(voltar, name)


def test_helpers_are_not_among_the_containers(voltar: Engine, scratch: Scratch, image: str) -> None:
    name = scratch.container(image, "true")

    with helper(voltar, (), access=Access.READ, run="t") as h:
        found = containers(voltar)

    assert name in [one.name for one in found]
    assert h.id not in [one.id for one in found]


def test_a_definition_creates_the_container_again(
    voltar: Engine, scratch: Scratch, every_engine: testbed.Engine
) -> None:
    image = images.build(
        every_engine,
        f"{scratch.prefix}-app",
        ["sh", "sleep"],
        changes=["ENV FROM=image", 'CMD ["sh"]'],
    )
    scratch.claim(images=[image])
    options = ["-e", "A=1", "--label", "l=1", "--restart", "on-failure:3", "--memory", "64m"]
    options += ["--hostname", "given", "--cap-add", "NET_ADMIN", "-p", "127.0.0.1::80", "--init"]
    name = scratch.container(image, "sleep", "5", options=options)
    definition = container(voltar, name).definition
    again = scratch.name("again")
    scratch.claim(containers=[again])

    body = definition["config"] | {"HostConfig": definition["host_config"]}
    voltar.post("/containers/create", body, name=again)

    second = container(voltar, again).definition
    for key in ("config", "host_config", "networks", "image"):
        assert second[key] == definition[key]


@pytest.mark.parametrize("name", ["", ".", "..", "../info", "a/b", "x?y=z"])
def test_what_can_be_no_name_is_not_there(voltar: Engine, name: str) -> None:
    with pytest.raises(NotOnEngine):
        volume(voltar, name)
    with pytest.raises(NotOnEngine):
        container(voltar, name)
