"""A log that another implementation wrote, read by ours: tessera's, of 0 to 15 entries."""

import itertools
from pathlib import Path

import pytest

from icrstore.tlog import merkle
from icrstore.tlog.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from icrstore.tlog.errors import LogError, NoteError
from icrstore.tlog.merkle import Tree
from icrstore.tlog.note import VerifierKey, parse_note
from icrstore.tlog.tiles import Tile, bundle, parse_bundle, tile_bytes
from tests.shared_data import topic

ORIGIN = "example.com/log/testdata"
SIZES = range(1, 16)


@pytest.fixture(scope="module")
def log() -> Path:
    return topic("tlog") / "tessera"


@pytest.fixture(scope="module")
def key(log: Path) -> VerifierKey:
    return VerifierKey.parse((log / "VERIFIER_KEY.txt").read_text().strip())


def _checkpoint(log: Path, key: VerifierKey, size: int) -> Checkpoint:
    checkpoint = verify_checkpoint((log / f"checkpoint.{size}").read_bytes(), ORIGIN, key)
    assert checkpoint.size == size
    return checkpoint


def _entries(log: Path, size: int) -> list[bytes]:
    return parse_bundle((log / Tile(None, 0, size).path).read_bytes(), size)


def test_the_empty_log_verifies(log: Path, key: VerifierKey) -> None:
    assert _checkpoint(log, key, 0).root == merkle.EMPTY_ROOT


@pytest.mark.parametrize("size", SIZES)
def test_each_checkpoint_is_of_the_root_of_its_entries(
    log: Path, key: VerifierKey, size: int
) -> None:
    entries = _entries(log, size)
    assert _checkpoint(log, key, size).root == merkle.root_of(entries)
    assert bundle(entries) == (log / Tile(None, 0, size).path).read_bytes()
    tile = Tile(0, 0, size)
    assert tile_bytes(Tree(entries).node, tile) == (log / tile.path).read_bytes()


def test_each_checkpoint_continues_each_before_it(log: Path, key: VerifierKey) -> None:
    tree = Tree(_entries(log, 15))
    checkpoints = [_checkpoint(log, key, size) for size in range(16)]
    for old, new in itertools.combinations(checkpoints, 2):
        proof = merkle.consistency_proof(tree.node, old.size, new.size)
        merkle.verify_consistency(old.size, new.size, proof, old.root, new.root)


def test_no_byte_of_a_checkpoint_can_be_changed(log: Path, key: VerifierKey) -> None:
    for size in (0, *SIZES):
        encoded = (log / f"checkpoint.{size}").read_bytes()
        for position in range(len(encoded)):
            broken = bytearray(encoded)
            broken[position] ^= 1
            with pytest.raises(NoteError):
                verify_checkpoint(bytes(broken), ORIGIN, key)


def test_no_byte_of_the_entries_or_the_tile_can_be_changed(log: Path, key: VerifierKey) -> None:
    root = _checkpoint(log, key, 15).root
    for path in (Tile(None, 0, 15).path, Tile(0, 0, 15).path):
        encoded = (log / path).read_bytes()
        for position in range(len(encoded)):
            broken = bytearray(encoded)
            broken[position] ^= 1
            assert _root_of_file(path, bytes(broken)) != root
        assert _root_of_file(path, encoded) == root


def _root_of_file(path: str, encoded: bytes) -> bytes | None:
    """The root that a reader of this file arrives at; None where it is refused as no bundle."""
    try:
        if Tile.parse(path).level is None:
            return merkle.root_of(parse_bundle(encoded, 15))
    except LogError:
        return None
    hashes = {(0, at): encoded[at * 32 : at * 32 + 32] for at in range(15)}
    for level, index in ((1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6)):
        hashes[level, index] = merkle.node_hash(hashes[0, 2 * index], hashes[0, 2 * index + 1])
    for level, index in ((2, 0), (2, 1), (2, 2), (3, 0)):
        pair = hashes[level - 1, 2 * index], hashes[level - 1, 2 * index + 1]
        hashes[level, index] = merkle.node_hash(*pair)
    return merkle.root(lambda level, index: hashes[level, index], 15)


def test_no_bit_of_the_verifier_key_can_be_changed(log: Path, key: VerifierKey) -> None:
    text = key.text()
    for position in range(len(text)):
        broken = text[:position] + chr(ord(text[position]) ^ 1) + text[position + 1 :]
        with pytest.raises(NoteError, match="malformed-key"):
            VerifierKey.parse(broken)


def test_its_newest_checkpoint_is_its_last(log: Path) -> None:
    note = parse_note((log / "checkpoint").read_bytes())
    assert parse_checkpoint(note.body).size == 15
