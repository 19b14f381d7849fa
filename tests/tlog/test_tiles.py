"""Tiles and bundles: paths with one spelling, bytes that another log's reader can read."""

import pytest

from icrstore.tlog.errors import LogError
from icrstore.tlog.merkle import Tree
from icrstore.tlog.tiles import (
    MAX_ENTRY_BYTES,
    Tile,
    TileError,
    bundle,
    parse_bundle,
    tile_bytes,
)
from tests.tlog import definitions
from tests.tlog.vectors import LEAVES, TREE, VECTORS


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 0, 1), "tile/0/000.p/1"),
        (Tile(1, 999, 255), "tile/1/999.p/255"),
        (Tile(0, 1_000), "tile/0/x001/000"),
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
        (Tile(63, 1_234_067, 8), "tile/63/x001/x234/067.p/8"),
        (Tile(None, 70_000), "tile/entries/x070/000"),
        (Tile(None, 0, 112), "tile/entries/000.p/112"),
        (Tile(0, (1 << 63) - 1), "tile/0/x009/x223/x372/x036/x854/x775/807"),
    ],
)
def test_a_tile_and_its_path_are_one(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/x1/002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000/p/1",
        "tile/Entries/000",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/../000",
        "tile/0/\N{ARABIC-INDIC DIGIT ONE}00",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
        "tile/0/" + "x999/" * 2000 + "999",
    ],
)
def test_it_refuses_a_path_in_any_other_spelling(path: str) -> None:
    with pytest.raises(TileError, match="malformed-tile"):
        Tile.parse(path)


def test_the_tiles_of_the_specifications_tree_of_70000_exist_and_no_others() -> None:
    for tile in (Tile(0, 272), Tile(0, 273, 112), Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)):
        assert tile.is_within(70_000)
    for tile in (Tile(0, 273, 113), Tile(0, 273), Tile(0, 274, 1), Tile(1, 1, 18), Tile(2, 0, 2)):
        assert not tile.is_within(70_000)
    assert Tile(None, 273, 112).is_within(70_000)
    assert not Tile(None, 273, 113).is_within(70_000)
    assert not Tile(3, 0, 1).is_within(70_000)
    assert Tile(1, 0, 1).is_within(256)
    assert not Tile(0, 0, 1).is_within(0)


def test_our_vectors_tiles_are_made() -> None:
    for vector in VECTORS["tiles"]:
        tile = Tile.parse(vector["path"])
        made = tile_bytes(TREE.node, tile) if tile.level == 0 else bundle(LEAVES)
        assert made.hex() == vector["bytes"]


def test_a_tile_of_the_second_level_holds_the_roots_of_full_tiles() -> None:
    leaves = [number.to_bytes(2, "big") for number in range(600)]
    expected = [definitions.mth(tuple(leaves[start : start + 256])) for start in (0, 256)]
    assert tile_bytes(Tree(leaves).node, Tile(1, 0, 2)) == b"".join(expected)


def test_a_bundle_is_read_back_and_only_whole() -> None:
    entries = [b"", b"a", b"b" * MAX_ENTRY_BYTES, b"\0\1"]
    encoded = bundle(entries)
    assert parse_bundle(encoded, 4) == entries
    for width in (0, 3, 5):
        with pytest.raises(TileError):
            parse_bundle(encoded, width)
    small = bundle([b"abc", b"", b"de"])
    for length in range(len(small)):
        with pytest.raises(LogError):
            parse_bundle(small[:length], 3)
    for more in (b"\0", b"\0\0", b"\0\1"):
        with pytest.raises(TileError):
            parse_bundle(small + more, 3)


def test_it_refuses_an_entry_too_long_for_its_length() -> None:
    with pytest.raises(TileError):
        bundle([bytes(MAX_ENTRY_BYTES + 1)])
