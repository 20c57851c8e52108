"""The file systems of containers, out of an engine and into an image again."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.testbed import images
from tests.testbed.engine import Engine
from tests.testbed.scratch import Scratch

NASTY = "a $HOME ${PATH} \"b\" 'c' \\d\t#é end \\"
OPTIONS = [
    *("--env", f"NASTY={NASTY}", "--env", "EMPTY=", "--env", "LINES=a\nb"),
    *("--label", f"note={NASTY}", "--label", "com.docker.compose.project=shop"),
    *("--user", "65534:65534", "--workdir", "/tmp/it's $HOME", "--expose", "8080/udp"),
    *("--health-cmd", 'test -e /x && echo "$HOME"', "--health-interval", "7s"),
    *("--health-retries", "4", "--stop-signal", "SIGQUIT", "--entrypoint", "/bin/sh"),
]
KEPT = ("Env", "Labels", "User", "WorkingDir", "ExposedPorts", "Healthcheck", "Entrypoint", "Cmd")


@pytest.fixture
def small(bed: Engine) -> str:
    """An image that is exported in no time."""
    return images.build(bed, "voltar-test-small", ["sh", "cat", "stat"])


@pytest.fixture
def container(scratch: Scratch, small: str) -> str:
    """A stopped container that differs from its image in content and configuration."""
    volume = f"{scratch.volume()}:/mounted"
    name = scratch.container(small, "-c", "say $X", options=[*OPTIONS, "--volume", volume])
    scratch.engine.docker("cp", "-", f"{name}:/", stdin=one_file())
    return name


def listed(engine: Engine) -> list[str]:
    """The ids of all images; engines list them in no order that lasts."""
    return sorted(engine.docker("image", "ls", "--all", "--quiet").splitlines())


def one_file() -> bytes:
    """A tar of `content`, which is somebody's."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("content")
        member.uid, member.gid, member.mode, member.size = 7, 8, 0o2750, 5
        tar.addfile(member, io.BytesIO(b"data\n"))
    return buffer.getvalue()


def config(engine: Engine, name: str) -> dict[str, Any]:
    listed = json.loads(engine.docker("inspect", name))
    return dict(listed[0]["Config"])


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return {member.name: member for member in tar}


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.zst"])
def test_a_file_system_becomes_an_image(voltar, bed, scratch, container, tmp_path, ending):
    file = tmp_path / f"out.{ending}"
    name = scratch.name("made")
    scratch.claim(images=[name])

    voltar("container", "export", container, "-o", file)
    voltar("container", "import", file, name, "--change", 'CMD ["/bin/cat", "/content"]')

    assert bed.docker("run", "--rm", name) == "data"
    owner = bed.docker("run", "--rm", name, "/bin/stat", "-c", "%u:%g %a", "/content")
    assert owner == "7:8 2750"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_configuration_is_put_back(every_engine, voltar, container, scratch, tmp_path):
    file, changes = tmp_path / "out.tar", tmp_path / "changes"
    by_file, by_container = scratch.name("made"), scratch.name("made")
    scratch.claim(images=[by_file, by_container])

    voltar("container", "export", container, "-o", file, "--changes", changes)
    voltar("container", "import", file, by_file, "--changes", changes, "--message", "again")
    said = voltar("container", "import", file, by_container, "--config-of", container)

    old = every_engine.kind == "20.10"  # which takes no such instruction
    assert ("STOPSIGNAL is left out" in said.err) is old
    wanted = config(every_engine, container)
    wanted["Env"] = sorted(each for each in wanted["Env"] if not each.startswith("LINES="))
    del wanted["Labels"]["com.docker.compose.project"]
    for name in (by_file, by_container):
        made = config(every_engine, name)
        made["Env"] = sorted(made["Env"])
        assert {key: made.get(key) for key in KEPT} == {key: wanted.get(key) for key in KEPT}
        assert made.get("StopSignal") == (None if old else "SIGQUIT")
    assert changes.stat().st_mode & 0o777 == 0o600
    assert "again" in every_engine.docker("history", by_file)


def test_what_is_lost_is_told_without_values(voltar, container, tmp_path):
    said = voltar("container", "export", container, "-o", tmp_path / "out.tar")

    for word in ("/mounted (volume)", "ENV", "NASTY", "HEALTHCHECK", "ENV LINES", "history"):
        assert word in said.err
    assert "labels of its compose project" in said.err
    assert f"voltar backup container:{container}" in said.err
    assert "${PATH}" not in said.said


def test_json_tells_what_is_lost(voltar, container, tmp_path):
    target = f"container:{container}"
    summary = voltar("--json", "container", "export", target, "-o", tmp_path / "out.tar").summary

    assert any("/mounted" in each for each in summary["lost"])


def test_an_export_goes_through_a_pipe(voltar, container, scratch):
    name = scratch.name("made")
    scratch.claim(images=[name])

    tar = voltar("container", "export", container).out
    voltar("container", "import", "-", name, stdin=gzip.compress(tar))

    with tarfile.open(fileobj=io.BytesIO(tar)) as read:
        assert read.getmember("content").uid == 7
        assert read.getmember("content").mode & 0o7777 == 0o2750


def test_a_file_that_exists_is_replaced_only_by_force(voltar, container, tmp_path):
    file, changes = tmp_path / "out.tar", tmp_path / "changes"
    file.write_text("mine")

    refused = voltar("container", "export", container, "-o", file, "--changes", changes, code=2)

    assert "--force replaces it" in refused.err
    assert (file.read_text(), changes.exists()) == ("mine", False)
    voltar("container", "export", container, "-o", file, "--force")
    assert "content" in members(file)
    voltar("container", "export", container, "-o", tmp_path, "--force", "--format", "tar", code=2)


def test_what_is_not_whole_makes_no_image(every_engine, voltar, scratch, tmp_path):
    name = scratch.name("made")
    scratch.claim(images=[name])
    whole = one_file()
    broken = {
        "cut between two members": whole[:1024],
        "cut within a member": whole[:514],
        "cut and compressed": gzip.compress(whole[:1024]),
        "compressed and cut": gzip.compress(whole)[:-9],
        "no tar": b"x" * 4096,
    }
    before = listed(every_engine)

    for number, data in enumerate(broken.values()):
        file = tmp_path / f"{number}.tar"
        file.write_bytes(data)
        refused = voltar("container", "import", file, name, code=1)
        assert str(file) in refused.err.splitlines()[-1]

    assert listed(every_engine) == before
    assert every_engine.attempt("image", "inspect", name).returncode
    voltar("container", "import", "-", name, stdin=whole)
    assert len(listed(every_engine)) == 1 + len(before)


def test_a_name_is_taken_only_by_force(voltar, scratch, bed, tmp_path):
    name = scratch.name("made")
    scratch.claim(images=[name])
    for content, more, code in ((b"a", [], 0), (b"b", [], 5), (b"c", ["--force"], 0)):
        (tmp_path / "in.tar").write_bytes(one_file().replace(b"data", content * 4))
        voltar("container", "import", tmp_path / "in.tar", name, *more, code=code)

        expected = f"sha256:{hashlib.sha256((tmp_path / 'in.tar').read_bytes()).hexdigest()}"
        there = bed.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", name)
        assert (expected in there) is (code == 0)


def test_an_instruction_that_the_engine_refuses_makes_no_image(
    voltar, container, scratch, tmp_path
):
    file = tmp_path / "out.tar"
    voltar("container", "export", container, "-o", file)
    name = scratch.name("made")

    refused = voltar("container", "import", file, name, "--change", "RUN true", code=1)

    assert f"cannot make {name}:latest" in refused.err
    assert scratch.engine.attempt("image", "inspect", name).returncode


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["export", "no-such-container"], 1, "no container 'no-such-container'"),
        (["import", "/nowhere.tar", "t-x:1"], 1, "cannot read /nowhere.tar"),
        (["import", "/nowhere.tar", "T:1"], 2, "names no image"),
        (["import", "/x.tar", "t-x", "--config-of", "gone"], 1, "no container 'gone'"),
        (["import", "/x.tar", "t-x", "--changes", "/gone"], 2, "cannot read the instructions"),
    ],
)
def test_what_cannot_be_done_is_told(voltar, words, code, why):
    assert why in voltar("container", *words, code=code).err
