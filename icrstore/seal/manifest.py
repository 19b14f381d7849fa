"""The manifest of an epoch: what rows it has, provable one by one, present or absent.

Entries ``label || SHA-256(body)[:16]`` sorted by label stand in buckets of 64; a Merkle leaf is a
bucket and the first label of the next (16 x ff for the last); the root is RFC 6962's. The bucket
that covers a label therefore proves it present, with its body, or absent.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import pairwise
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


class BucketProof(NamedTuple):
    """One bucket with its path: answers for every label from its first to the next bucket's."""

    bucket: bytes
    next_label: bytes
    index: int  # type: ignore[assignment] # hides a method of tuples that nobody calls
    buckets: int
    path: tuple[bytes, ...]

    @property
    def begins(self) -> bytes:
        """The first label that it answers for: bucket 0 for all below its own first, too."""
        return self.bucket[:_LABEL_BYTES] if self.index else bytes(_LABEL_BYTES)


class Manifest:
    """All entries of an epoch, in label order: 32 bytes each."""

    def __init__(self, entries: bytes) -> None:
        if len(entries) % ENTRY_BYTES:
            raise ManifestError("the manifest is cut")
        self.entries = entries
        labels = [entries[at : at + 16] for at in range(0, len(entries), ENTRY_BYTES)]
        if any(a >= b for a, b in pairwise(labels)):
            raise ManifestError("the manifest is not in label order")

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Manifest":
        return cls(b"".join(sorted(entry(row.label, row.body) for row in rows)))

    @property
    def rows(self) -> int:
        return len(self.entries) // ENTRY_BYTES

    @cached_property
    def _tree(self) -> merkle.Tree:
        return merkle.Tree(
            self._bucket(index) + self._next_label(index) for index in range(buckets_of(self.rows))
        )

    @property
    def root(self) -> bytes:
        """RFC 6962's root over the buckets; its empty root for an epoch without rows."""
        return self._tree.root()

    def proofs(self) -> Iterator[BucketProof]:
        """Every bucket in order; none of an epoch without rows, which needs no proof."""
        for index in range(self._tree.size):
            path = tuple(self._tree.inclusion_proof(index))
            bucket, after = self._bucket(index), self._next_label(index)
            yield BucketProof(bucket, after, index, self._tree.size, path)

    def _bucket(self, index: int) -> bytes:
        size = BUCKET * ENTRY_BYTES
        return self.entries[index * size : (index + 1) * size]

    def _next_label(self, index: int) -> bytes:
        return self._bucket(index + 1)[:_LABEL_BYTES] or _END


def check(proof: BucketProof, root: bytes, label: bytes, body: bytes | None) -> None:
    """Check that ``label`` holds ``body``, or (None) that no row has it, under ``root``.

    1. The bucket hangs under the root.
    2. It is the one that answers for the label.
    3. The entry is there with this body, or is not there.

    Raises `ManifestError`; for the first two, `BucketError`.
    """
    bucket, next_label, index, buckets, path = proof
    # The leaf's two parts stand side by side: cut elsewhere, a row would hide in the next label.
    if len(next_label) != _LABEL_BYTES:
        raise BucketError("the bucket is cut at another place")
    try:
        merkle.verify_inclusion(merkle.leaf_hash(bucket + next_label), index, buckets, path, root)
    except ProofError as error:
        raise BucketError("the bucket does not belong to the epoch") from error

    if label >= next_label or (index and label < bucket[:_LABEL_BYTES]):
        raise BucketError("the bucket does not answer for this label")

    found = _entries(bucket, label)
    expected = [] if body is None else [entry(label, body)]
    if found != expected:
        raise ManifestError("the row differs from the manifest")


def _entries(bucket: bytes, label: bytes) -> list[bytes]:
    """The entries of a label: the bytes of another's digest may look like it."""
    found, at = [], bucket.find(label)
    while at >= 0:
        if at % ENTRY_BYTES == 0:
            found.append(bucket[at : at + ENTRY_BYTES])
        at = bucket.find(label, at + 1)
    return found
