"""What `diff` tells is what a plain comparison of two trees tells, however they were stored."""

from hypothesis import given, settings
from hypothesis import strategies as st

from backup.diff import Diff
from backup.inventory import inventory
from backup.paths import sort_key
from tests.memory_store import MemoryStore
from tests.saved import plain
from tests.strategies import TREE_PATHS, things, trees
from tests.trees import Name, Thing, captured, imported, meant


@st.composite
def archives(draw, tree):
    """The members of an archive that a tree is extracted from: unordered, names twice."""
    files = [(path, thing) for path, thing in tree.items() if isinstance(thing, Thing)]
    links = [(path, thing) for path, thing in tree.items() if isinstance(thing, Name)]
    files, links = draw(st.permutations(files)), draw(st.permutations(links))
    earlier = draw(st.lists(st.tuples(st.sampled_from(TREE_PATHS), things), max_size=3))
    earlier = [(path, thing) for path, thing in earlier if path in tree]
    chained = {}
    for path, link in links:
        others = [other for other, name in links if name.of == link.of and other in chained]
        chained[path] = Name(draw(st.sampled_from([link.of, *others])))
    return [*earlier, *files, *chained.items()]


def properties(thing, *, times):
    kind = thing.kind
    said = {"type": kind, "owner": (thing.uid, thing.gid), "attributes": thing.attribute}
    said["mode"] = thing.mode if kind != "l" else None
    said["mtime"] = thing.mtime if times else None
    return said | {
        "f": {"content": thing.content, "size": len(thing.content)},
        "l": {"link": thing.link},
        "c": {"device": thing.minor},
    }.get(kind, {})


def model(before, after, *, times):
    """Return {path: changed properties}; None for what is on one side only."""
    found: dict[bytes, set[str] | None] = {}
    for path in {*before, *after}:
        if path not in before or path not in after:
            found[path] = None
            continue
        old = properties(meant(before, path), times=times)
        new = properties(meant(after, path), times=times)
        what = {key for key in {*old, *new} if old.get(key) != new.get(key)}
        if "type" in what:
            what -= {"content", "size", "link", "device"}
            if "l" in (meant(before, path).kind, meant(after, path).kind):
                what.discard("mode")
                old_mode, new_mode = meant(before, path).mode, meant(after, path).mode
                what |= {"mode"} if old_mode != new_mode else set()
        if what:
            found[path] = what
    return found


@settings(max_examples=200)
@given(st.data(), st.booleans())
def test_a_diff_is_what_a_plain_comparison_tells(data, times):
    repository = plain(MemoryStore())
    before, after = data.draw(trees()), data.draw(trees())
    if data.draw(st.booleans()):
        files = {path: thing for path, thing in after.items() if isinstance(thing, Thing)}
        after = files | before  # much is the same, and something is new
    sides = []
    for tree in (before, after):
        if data.draw(st.booleans()):
            sides.append(imported(repository, data.draw(archives(tree))))
        else:
            sides.append(captured(repository, tree))
    diff = Diff(repository, times=times)

    found = list(diff.differences(*(inventory(repository, side) for side in sides)))

    expected = model(before, after, times=times)
    assert [one.path for one in found] == sorted(expected, key=sort_key)
    for one in found:
        if expected[one.path] is None:
            assert (one.before is None, one.after is None) == (
                one.path not in before,
                one.path not in after,
            )
        else:
            assert set(one.what) == expected[one.path]
    assert diff.unchanged == len({*before, *after}) - len(expected)
    assert diff.changed.entries + diff.added.entries + diff.removed.entries == len(expected)
