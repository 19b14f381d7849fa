"""The manifest of an epoch: what rows it has, provable one by one, present or absent.

Entries ``label || SHA-256(body)[:16]`` sorted by label stand in buckets of 64; a Merkle leaf is a
bucket and the first label of the next (16 x ff for the last); the root is RFC 6962's. The bucket
that covers a label therefore proves it present, with its body, or absent.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from operator import ge
from typing import NamedTuple

from icrstore.seal.rows import Row
from icrstore.tlog import merkle
from icrstore.tlog.errors import ProofError

BUCKET = 64
ENTRY_BYTES = 32
_LABEL_BYTES = 16
_END = b"\xff" * _LABEL_BYTES


class ManifestError(Exception):
    """A row is not the one that the epoch's statement vouches for."""


class BucketError(ManifestError):
    """A bucket is not the epoch's, or not the one that answers for the label."""


def entry(label: bytes, body: bytes) -> bytes:
    return label + hashlib.sha256(body).digest()[:16]


def buckets_of(rows: int) -> int:
    """How many buckets so many rows stand in."""
    return -(-rows // BUCKET)


def leaf_bytes(rows: int, index: int) -> int:
    """How long the leaf of a bucket is, of an epoch of so many rows."""
    return ENTRY_BYTES * min(BUCKET, rows - BUCKET * index) + _LABEL_BYTES


class BucketProof(NamedTuple):
    """One bucket with its path: answers for every label from its first to the next bucket's.

    ``leaf``: both as they are hashed; nobody can cut it elsewhere.
    """

    leaf: bytes
    index: int  # type: ignore[assignment] # hides a method of tuples that nobody calls
    buckets: int
    path: tuple[bytes, ...]

    @property
    def bucket(self) -> bytes:
        return self.leaf[:-_LABEL_BYTES]

    @property
    def next_label(self) -> bytes:
        return self.leaf[-_LABEL_BYTES:]

    @property
    def begins(self) -> bytes:
        """The first label that it answers for: bucket 0 for all below its own first, too."""
        return self.leaf[:_LABEL_BYTES] if self.index else bytes(_LABEL_BYTES)


class Manifest:
    """All entries of an epoch, in label order: 32 bytes each."""

    def __init__(self, entries: bytes) -> None:
        if len(entries) % ENTRY_BYTES:
            raise ManifestError("the manifest is cut")
        self.entries = entries
        labels = [entries[at : at + 16] for at in range(0, len(entries), ENTRY_BYTES)]
        if any(map(ge, labels, labels[1:])):
            raise ManifestError("the manifest is not in label order")

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Manifest":
        return cls(b"".join(sorted(entry(row.label, row.body) for row in rows)))

    @property
    def rows(self) -> int:
        return len(self.entries) // ENTRY_BYTES

    @cached_property
    def _tree(self) -> merkle.Tree:
        return merkle.Tree(map(self._leaf, range(buckets_of(self.rows))))

    @property
    def root(self) -> bytes:
        """RFC 6962's root over the buckets; its empty root for an epoch without rows."""
        return self._tree.root()

    def proofs(self) -> Iterator[BucketProof]:
        """Every bucket in order; none of an epoch without rows, which needs no proof."""
        for index in range(self._tree.size):
            path = tuple(self._tree.inclusion_proof(index))
            yield BucketProof(self._leaf(index), index, self._tree.size, path)

    def _leaf(self, index: int) -> bytes:
        size = BUCKET * ENTRY_BYTES
        after = (index + 1) * size
        next_label = self.entries[after : after + _LABEL_BYTES] or _END
        return self.entries[index * size : after] + next_label


def check(proof: BucketProof, root: bytes, label: bytes, body: bytes | None) -> None:
    """Check that ``label`` holds ``body``, or (None) that no row has it, under ``root``.

    1. The bucket hangs under the root.
    2. It is the one that answers for the label.
    3. The entry is there with this body, or is not there.

    Raises `ManifestError`; for the first two, `BucketError`.
    """
    leaf, index, buckets, path = proof
    try:
        merkle.verify_inclusion(merkle.leaf_hash(leaf), index, buckets, path, root)
    except ProofError as error:
        raise BucketError("the bucket does not belong to the epoch") from error

    if label >= leaf[-_LABEL_BYTES:] or (index and label < leaf[:_LABEL_BYTES]):
        raise BucketError("the bucket does not answer for this label")

    found = _entries(leaf, label)
    expected = [] if body is None else [entry(label, body)]
    if found != expected:
        raise ManifestError("the row differs from the manifest")


def _entries(leaf: bytes, label: bytes) -> list[bytes]:
    """The entries of a label, which is not the next bucket's: the bytes of another's digest may
    look like it."""
    found, at = [], leaf.find(label)
    while at >= 0:
        if at % ENTRY_BYTES == 0:
            found.append(leaf[at : at + ENTRY_BYTES])
        at = leaf.find(label, at + 1)
    return found
