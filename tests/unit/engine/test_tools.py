"""The helper image's content, packed from this machine's real tools."""

import io
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
