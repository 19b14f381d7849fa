"""A tree that grows from its edge alone is the tree of all its leaves."""

import pytest

from icrstore.tlog.follow import Growth
from icrstore.tlog.merkle import Tree, edge, root
from icrstore.tlog.tiles import Tile, bundle, read_entries

LEAVES = [b"leaf %d" % number for number in range(130)]


def test_from_every_size_to_every_larger_one() -> None:
    roots = [Tree(LEAVES[:size]).root() for size in range(len(LEAVES) + 1)]
    tree = Tree(LEAVES)
    for old in range(len(LEAVES) + 1):
        held = {place: tree.node(*place) for place in edge(old)}
        growth = Growth(lambda level, number, held=held: held[level, number])  # type: ignore[misc]
        growth.add(old, LEAVES[old:])
        for new in range(old, len(LEAVES) + 1):
            assert root(growth.node, new) == roots[new]


def test_a_leaf_more_less_or_altered_gives_another_root() -> None:
    for altered in (LEAVES[:-1], [*LEAVES, b""], [*LEAVES[:-1], b"another"], LEAVES[::-1]):
        assert Tree(altered).root() != Tree(LEAVES).root()


@pytest.mark.parametrize(
    ("first", "end"),
    [(0, 0), (5, 5), (0, 1), (0, 256), (0, 257), (255, 257), (256, 512), (300, 600)],
)
def test_entries_are_read_from_the_bundles_that_hold_them(first: int, end: int) -> None:
    log = [b"%d" % number for number in range(600)]

    def fetch(path: str) -> bytes:
        tile = Tile.parse(path)
        assert tile.is_within(end)
        return bundle(log[tile.index * 256 :][: tile.width])

    assert read_entries(fetch, end, first) == log[first:end]
