"""Layers of the classic store, put together from their files and the list beside them."""

import base64
import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.engine.layerfile import LayerFile
from backup.errors import DamagedImage
from tests.tars import archive

NAMES = st.text("abcé", min_size=1, max_size=3)
FILES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=2000), max_size=8
).filter(lambda files: not any(f"{one}/" in f"{two}" for one in files for two in files))


def unpacked(place: Path, tar: bytes) -> LayerFile:
    """What the engine makes of a layer: its files, and what of the tar they are not."""
    lines, end = [], 0
    with tarfile.open(fileobj=io.BytesIO(tar)) as read:
        for member in read:
            file = place / "diff" / member.name
            file.parent.mkdir(parents=True, exist_ok=True)
            body = tar[member.offset_data : member.offset_data + member.size]
            if member.isfile():
                file.write_bytes(body)
            lines.append(rest(tar[end : member.offset_data]))
            lines.append(named(member.name, member.size))
            end = member.offset_data + member.size
    return listed(place, [*lines, rest(tar[end:])])


def rest(data: bytes) -> dict[str, object]:
    return {"type": 2, "payload": base64.b64encode(data).decode(), "position": 0}


def named(name: str, size: int) -> dict[str, object]:
    return {"type": 1, "name": name, "size": size, "payload": "AAAAAAAAAAA=" if size else None}


def listed(place: Path, lines: list[dict[str, object]]) -> LayerFile:
    (place / "diff").mkdir(exist_ok=True)
    with gzip.open(place / "list", "wb") as file:
        file.writelines(json.dumps(line).encode() + b"\n" for line in lines)
    return LayerFile(place / "list", place / "diff")


def content(layer: LayerFile) -> bytes:
    return b"".join(bytes(block) for block in layer.read())


@given(files=FILES)
def test_a_layer_is_the_tar_that_it_was(
    files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tar = archive(files)

    layer = unpacked(tmp_path_factory.mktemp("layer"), tar)

    assert content(layer) == tar
    assert layer.size == len(tar)


def test_a_large_file_and_names_as_engines_write_them(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    odd = b"\xff\xfe"
    lines = [named("./d//large", len(data)), rest(b"pad"), named("/d/large", len(data))]
    lines.append({"type": 1, "name_raw": base64.b64encode(b"d/" + odd).decode(), "size": 3})
    (tmp_path / "diff/d").mkdir(parents=True)
    (tmp_path / "diff/d/large").write_bytes(data)
    Path(os.fsdecode(os.fsencode(tmp_path / "diff/d") + b"/" + odd)).write_bytes(b"odd")

    layer = listed(tmp_path, lines)

    assert content(layer) == data + b"pad" + data + b"odd"


def test_a_white_out_has_no_file(tmp_path: Path) -> None:
    assert content(listed(tmp_path, [rest(b"head"), named(".wh.gone", 0)])) == b"head"


@pytest.mark.parametrize(
    "name", ["link", "there/secret", "up/../../secret", "../secret", "..", "d"]
)
def test_nothing_outside_of_a_layer_is_read(tmp_path: Path, name: str) -> None:
    """A layer may hold a link, and a name beyond it, to what only root of the host may see."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "diff/up").mkdir(parents=True)
    (tmp_path / "diff/d").mkdir()
    (tmp_path / "diff/link").symlink_to(tmp_path / "secret")
    (tmp_path / "diff/there").symlink_to(tmp_path)
    layer = listed(tmp_path, [named(name, 6)])

    with pytest.raises(DamagedImage, match=r"a file of a layer|outside of it|cannot read a layer"):
        content(layer)


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    layer = listed(tmp_path, [named("pipe", 6)])
    os.mkfifo(tmp_path / "diff/pipe")

    with pytest.raises(DamagedImage, match="a file of a layer is none"):
        content(layer)


@pytest.mark.parametrize("there", [None, b"", b"shor"], ids=["missing", "empty", "short"])
def test_a_file_that_is_not_what_the_list_says(tmp_path: Path, there: bytes | None) -> None:
    layer = listed(tmp_path, [named("file", 5)])
    if there is not None:
        (tmp_path / "diff/file").write_bytes(there)

    with pytest.raises(DamagedImage, match=r"cannot read a layer|is too short"):
        content(layer)


@pytest.mark.parametrize(
    "damaged",
    [b"\x1f\x8b", gzip.compress(b"{}\n"), b"plain"],
    ids=["cut off", "no list", "not compressed"],
)
def test_a_damaged_list_is_told(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "list").write_bytes(damaged)

    with pytest.raises(DamagedImage, match="cannot read"):
        LayerFile(tmp_path / "list", tmp_path)
