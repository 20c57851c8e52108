"""Versions are what comparing each tree with the one before it tells; pieces are all of a whole."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from backup.find import versions
from backup.paths import sort_key
from backup.pattern import Patterns
from backup.pieces import Pieces
from backup.report import ignore
from backup.repository import Extent, Member
from backup.repository.manifest import to_bytes
from tests.memory_store import MemoryStore
from tests.saved import plain
from tests.strategies import trees
from tests.trees import captured, meant, root


def first_name(tree, path):
    """Return the name that a path's inode is stored under."""
    return min((one for one in tree if root(tree, one) == root(tree, path)), key=sort_key)


def is_same(old, new, path):
    before, now = meant(old, path), meant(new, path)
    if path not in (first_name(old, path), first_name(new, path)):
        return before == now and root(old, path) == root(new, path)
    if first_name(old, path) != first_name(new, path):
        return before == now and root(old, path) == root(new, path)
    return shown(before) == shown(now)


def shown(thing):
    said = (thing.kind, thing.mode, thing.uid, thing.gid, thing.mtime)
    return (*said, {"f": thing.content, "l": thing.link}.get(thing.kind))


def model(history):
    """Return {(path, first, last)}."""
    found = set()
    for path in set().union(*history):
        first = None
        for number, tree in enumerate(history):
            goes_on = (
                first is not None and path in tree and is_same(history[number - 1], tree, path)
            )
            if first is not None and not goes_on:
                found.add((path, first, number - 1))
            if not goes_on:
                first = number if path in tree else None
        if first is not None:
            found.add((path, first, len(history) - 1))
    return found


@settings(max_examples=100)
@given(st.data())
def test_versions_are_what_a_plain_comparison_tells(data):
    repository = plain(MemoryStore())
    drawn = data.draw(st.lists(trees(), min_size=1, max_size=3))
    order = data.draw(st.lists(st.sampled_from(drawn), min_size=1, max_size=6))
    snapshots = [captured(repository, tree) for tree in order]

    found = versions(repository, snapshots, Patterns(["*"]), ignore).found

    seen = [(to_bytes(one.member.path), one.first, one.last) for one in found]
    assert set(seen) == model(order)
    assert len(set(seen)) == len(seen)
    assert [one[2] for one in seen] == sorted((one[2] for one in seen), reverse=True)


@settings(max_examples=100)
@given(st.data())
def test_pieces_are_all_of_a_manifest_however_it_is_cut(data):
    repository = plain(MemoryStore())
    first, second = (captured(repository, data.draw(trees())) for _ in range(2))
    looked = []

    def look(lines):
        found = list(lines)
        looked.extend(found)
        return found

    pieces = Pieces(repository, look)
    cuts = [_cut(data.draw, snapshot.manifest) for snapshot in (first, second, second)]
    results = pieces.of_each([*cuts, cuts[-1]])
    for snapshot, parts in zip((first, second, second), results, strict=False):
        found = [line for part in parts for line in part]

        assert found == list(repository.manifest(snapshot))

    looked.clear()
    again = [line for part in next(results) for line in part]
    assert again == found
    assert len(looked) <= len(cuts[-1])  # of what is known, only what lies across two pieces
    assert any(isinstance(line, Member) for line in again)


def _cut(draw, manifest):
    (extent,) = manifest
    edges = draw(st.lists(st.integers(0, extent.length), max_size=8))
    cuts = sorted({0, *edges, extent.length})
    return [Extent(extent.chunk, start, end - start) for start, end in pairwise(cuts)]
