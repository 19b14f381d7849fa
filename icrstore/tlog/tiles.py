"""A log as static files, after C2SP tlog-tiles: hash tiles and entry bundles of 256."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from icrstore.tlog.errors import LogError
from icrstore.tlog.merkle import Node

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
MAX_ENTRY_BYTES = (1 << 16) - 1

Fetch = Callable[[str], bytes]  # the bytes at a path below the log's prefix

_LARGEST_LEVEL = 63
_LARGEST_INDEX = (1 << 63) - 1
_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


class TileError(LogError):
    """The path names no tile, or the bytes are no bundle; reason `malformed-tile`."""


@dataclass(frozen=True)
class Tile:
    """A tile's place: `level` counts tiles, not hashes, and None is the bundle of entries.

    `width` is how many hashes or entries it holds, 256 when full.
    """

    level: int | None
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        level_exists = self.level is None or 0 <= self.level <= _LARGEST_LEVEL
        index_exists = 0 <= self.index <= _LARGEST_INDEX
        if not level_exists or not index_exists or not 1 <= self.width <= TILE_WIDTH:
            raise TileError("malformed-tile")

    @property
    def path(self) -> str:
        """The path below the log's prefix, as tile/0/x001/x234/067.p/8."""
        level = "entries" if self.level is None else self.level
        suffix = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{_index_path(self.index)}{suffix}"

    @classmethod
    def parse(cls, path: str) -> Self:
        """The tile at this path, in its one spelling; raises TileError."""
        match = _PATH.fullmatch(path)
        if match is None:
            raise TileError("malformed-tile")
        level = None if match["level"] == "entries" else int(match["level"])
        index = int(match["index"].replace("x", "").replace("/", ""))
        tile = cls(level, index, int(match["width"] or TILE_WIDTH))
        if tile.path != path:
            raise TileError("malformed-tile")
        return tile

    def is_within(self, size: int) -> bool:
        """Whether a tree of `size` leaves has all of this tile's hashes or entries."""
        height = TILE_HEIGHT * (self.level or 0)
        return self.index * TILE_WIDTH + self.width <= size >> height


def tile_bytes(node: Node, tile: Tile) -> bytes:
    """The hashes of a hash tile, 32 bytes each, all of which the tree must have."""
    height = TILE_HEIGHT * (tile.level or 0)
    first = tile.index * TILE_WIDTH
    return b"".join(node(height, index) for index in range(first, first + tile.width))


def bundle(entries: Sequence[bytes]) -> bytes:
    """An entry bundle: each entry after its length in two bytes, big-endian.

    Raises TileError for an entry over 65,535 bytes.
    """
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise TileError("malformed-tile")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_bundle(encoded: bytes, width: int) -> list[bytes]:
    """The `width` entries of a bundle; raises TileError if it holds fewer, more or half of one."""
    entries = []
    position = 0
    while position < len(encoded):
        start = position + 2
        position = start + int.from_bytes(encoded[start - 2 : start], "big")
        entries.append(encoded[start:position])
    if position != len(encoded) or len(entries) != width:
        raise TileError("malformed-tile")
    return entries


def read_entries(fetch: Fetch, size: int, first: int = 0) -> list[bytes]:
    """The entries of a log of this size from ``first`` on, from its bundles. Raises TileError;
    what they hash to is the caller's to check."""
    if first >= size:
        return []
    entries: list[bytes] = []
    for start in range(first // TILE_WIDTH * TILE_WIDTH, size, TILE_WIDTH):
        tile = Tile(None, start // TILE_WIDTH, min(TILE_WIDTH, size - start))
        entries += parse_bundle(fetch(tile.path), tile.width)
    return entries[first % TILE_WIDTH :]


def _index_path(index: int) -> str:
    """Three digits to a path element, each but the last after an x."""
    high, last = divmod(index, 1000)
    path = f"{last:03}"
    while high:
        high, group = divmod(high, 1000)
        path = f"x{group:03}/{path}"
    return path
