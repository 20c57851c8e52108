"""The helper image's content, packed from this machine's real tools."""

import hashlib
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from backup.engine import tools
from backup.errors import EngineError


@pytest.fixture(scope="module")
def box() -> tools.Toolbox:
    return tools.gather()


def contents(box: tools.Toolbox) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(box.archive)) as archive:
        members = [one for one in archive if one.isreg()]
        return {one.name: archive.extractfile(one).read() for one in members}  # type: ignore[union-attr]


def test_the_same_tools_make_the_same_archive(box: tools.Toolbox) -> None:
    again = tools.gather()

    assert again == box


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory that tools are taken from first, with a tar of its own."""
    shutil.copy2(shutil.which("tar") or "", tmp_path / "tar")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_tools_are_unchanged_until_one_is_another_file(mine: Path) -> None:
    origin = tools.gather().origin
    assert tools.unchanged(origin)

    (mine / "same").write_bytes((mine / "tar").read_bytes())
    shutil.copystat(mine / "tar", mine / "same")
    (mine / "same").rename(mine / "tar")

    assert not tools.unchanged(origin)


def test_tools_are_not_unchanged_when_one_was_written_over(mine: Path) -> None:
    origin = tools.gather().origin

    os.utime(mine / "tar", (1, 1))

    assert not tools.unchanged(origin)


def test_tools_are_not_unchanged_when_there_is_one_more_or_less(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in tools.NEEDED:
        if name != "tar":
            (mine / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(mine))
    origin = tools.gather().origin
    assert tools.unchanged(origin)

    (mine / "ls").symlink_to("/bin/ls")
    assert not tools.unchanged(origin)

    (mine / "ls").unlink()
    assert tools.unchanged(origin)

    (mine / "sh").unlink()
    assert not tools.unchanged(origin)


def test_libraries_belong_to_the_origin(
    box: tools.Toolbox, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = shutil.copy2(_a_library(box), mine / "library, of mine")
    monkeypatch.setattr(tools, "_linked", lambda _: (None, {"libc.so": str(library)}))
    origin = tools.gather().origin
    assert tools.unchanged(origin)

    (mine / "library, of mine").touch()

    assert not tools.unchanged(origin)


def _a_library(box: tools.Toolbox) -> Path:
    return Path(box.origin.split(",")[-1])


@pytest.mark.parametrize("origin", ["", "None", "0,/nonesuch", ",,,", "%00,%00,\udcff"])
def test_what_is_no_origin_is_not_unchanged(origin: str) -> None:
    assert not tools.unchanged(origin)


def test_other_copies_of_the_same_tools_need_another_recipe() -> None:
    """Engines keep images of an older voltar, and look at the recipe's number alone."""
    program = tools._relocate(
        b"\x7fELF /lib64/ld-linux-x86-64.so.2\0", "/lib64/ld-linux-x86-64.so.2"
    )
    library = tools._hide(b"/etc/ld.so.preload\0/etc/ld.so.cache\0/etc/nsswitch.conf\0")
    _, archive = tools._pack({f"{tools.ROOT}/bin/a": program, f"{tools.ROOT}/lib/b": library})

    assert (tools.RECIPE, hashlib.sha256(archive).hexdigest()[:16]) == (1, "5f8502b61d1b77b7")


def test_everything_is_below_one_directory(box: tools.Toolbox) -> None:
    with tarfile.open(fileobj=io.BytesIO(box.archive)) as archive:
        names = archive.getnames()

    assert {Path(name).parts[0] for name in names} == {".voltar"}
    assert {f".voltar/bin/{name}" for name in tools.NEEDED} <= set(names)


def test_nothing_asks_for_a_loader_or_modules_that_a_volume_could_bring(box: tools.Toolbox) -> None:
    dangerous = (b"/etc/ld.so.preload\0", b"/etc/ld.so.cache\0", b"/etc/nsswitch.conf\0")
    found = contents(box)

    assert not [name for name, data in found.items() for one in dangerous if one in data]
    programs = {name: data for name, data in found.items() if "/bin/" in name}
    assert not [name for name, data in programs.items() if b"/.voltar/ld\0" not in data[:65536]]


def test_a_script_cannot_be_carried_along() -> None:
    with pytest.raises(EngineError, match="a tool is a script"):
        tools._relocate(b"#!/bin/sh\n", None)


def test_a_machine_without_a_tool_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EngineError, match="this machine has no 'sh'") as caught:
        tools.gather()

    assert "VOLTAR_HELPER_IMAGE" in str(caught.value.hint)


def test_tools_that_are_not_gnus_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in tools.NEEDED:
        (tmp_path / name).write_text("#!/bin/sh\necho busybox\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EngineError, match="is not GNU tar"):
        tools.gather()
