import contextlib
import os
import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from backup import paths
from tests import strategies

_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\"}


def undone(shown):
    return re.sub(
        rb"\\(x[0-9a-f]{2}|.)",
        lambda match: _ESCAPES.get(match[1]) or bytes.fromhex(match[1][1:].decode()),
        shown.encode(),
    )


@given(st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_what_is_shown_is_harmless_and_can_be_undone(path):
    shown = paths.printable(path)

    assert path == undone(shown)
    assert shown.replace("\u00a0", "").isprintable() or all(
        character.isprintable() or character.isspace() for character in shown
    )
    assert not set(shown) & set("\n\r\t\v\f\x1b\x7f\x85\u2028\u2029\u202e\u200b")


@given(strategies.spellings, strategies.spellings)
def test_normal_names_stay_as_they_are(one, other):
    normal = paths.relative(one)

    assert normal == paths.relative(normal)
    assert normal == paths.relative(b"./" + one + b"//./")
    assert not normal or paths.relative(one + b"/" + other).startswith(normal)


@given(st.lists(strategies.paths))
def test_what_is_in_a_directory_comes_right_behind_it(names):
    in_order = sorted({paths.relative(name) for name in names}, key=paths.sort_key)

    for place, name in enumerate(in_order):
        below = [other.startswith(name + b"/") for other in in_order[place + 1 :]]
        assert below == sorted(below, reverse=True)


@given(strategies.paths, strategies.paths)
def test_a_pattern_selects_what_has_it_as_ancestor(path, pattern):
    wanted = path == pattern or pattern in paths.ancestors(path)

    assert wanted is paths.selected(path, [pattern])


_TARGETS = st.one_of(
    strategies.spellings,
    st.sampled_from(
        [b"../outside", b"../outside/secret", b"{top}/outside", b"{top}/outside/secret"]
    ),
)
_MEMBERS = st.lists(
    st.tuples(
        st.one_of(strategies.spellings, st.sampled_from([b"", b"/a", b"{top}/outside/new"])),
        st.sampled_from("fdlh"),
        _TARGETS,
    ),
    max_size=8,
)


def extract(members, directory):
    """Do what a careless extractor does: names are taken as they are, links above them followed."""
    for name, kind, link in members:
        with contextlib.suppress(OSError):
            place(directory / name.decode(), kind, link.decode(), directory)


def place(path, kind, link, directory):
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "d":
        path.mkdir(exist_ok=True)
        path.chmod(0o700)
        return
    with contextlib.suppress(OSError):
        path.unlink()
    if kind == "l":
        path.symlink_to(link)
    elif kind == "h":
        os.link(directory / link, path, follow_symlinks=False)
    else:
        path.write_bytes(b"new")


def surroundings(top):
    """A directory to extract into, and one beside it that must stay as it is."""
    directory, outside = top / "target", top / "outside"
    directory.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"old")
    return directory, outside


def state(top):
    """What is in a directory, and what of it could have changed."""
    return {
        path: (found.st_mode, found.st_nlink, found.st_size, found.st_ctime_ns)
        for path in [top / "outside", *(top / "outside").iterdir(), *top.iterdir()]
        if path.name != "target"
        for found in [path.lstat()]
    }


@settings(max_examples=300)
@given(_MEMBERS)
def test_what_is_let_through_stays_inside(members):
    with tempfile.TemporaryDirectory() as name:
        top = os.fsencode(name)
        members = [
            (raw.replace(b"{top}", top), kind, link.replace(b"{top}", top))
            for raw, kind, link in members
        ]
        directory, _ = surroundings(Path(name))
        before = state(Path(name))
        refused = {raw for raw, _ in paths.unsafe(members)}

        extract([member for member in members if member[0] not in refused], directory)

        assert before == state(Path(name))
