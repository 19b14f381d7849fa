"""The manifest of an epoch: what rows it has, provable one by one, present or absent.

Entries ``label || SHA-256(body)[:16]`` sorted by label stand in buckets of 64; a Merkle leaf is a
bucket and the first label of the next (16 x ff for the last); the root is RFC 6962's. The bucket
that covers a label therefore proves it present, with its body, or absent.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from icrstore.seal.rows import Row
from icrstore.tlog import merkle
from icrstore.tlog.errors import ProofError

BUCKET = 64
ENTRY_BYTES = 32
_END = b"\xff" * 16


class ManifestError(Exception):
    """A row is not the one that the epoch's statement vouches for."""


def entry(label: bytes, body: bytes) -> bytes:
    return label + hashlib.sha256(body).digest()[:16]


@dataclass(frozen=True)
class BucketProof:
    """One bucket with its path: answers for every label from its first to the next bucket's."""

    bucket: bytes
    next_label: bytes
    index: int
    buckets: int
    path: tuple[bytes, ...]


class Manifest:
    """All entries of an epoch, in label order, as they are stored: 32 bytes each."""

    def __init__(self, entries: bytes) -> None:
        if len(entries) % ENTRY_BYTES:
            raise ManifestError("the manifest is cut")
        self.entries = entries
        if any(a >= b for a, b in zip(self._labels, self._labels[1:], strict=False)):
            raise ManifestError("the manifest is not in label order")

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Manifest":
        return cls(b"".join(sorted(entry(row.label, row.body) for row in rows)))

    @property
    def rows(self) -> int:
        return len(self.entries) // ENTRY_BYTES

    @cached_property
    def _labels(self) -> list[bytes]:
        return [self.entries[at : at + 16] for at in range(0, len(self.entries), ENTRY_BYTES)]

    @cached_property
    def _tree(self) -> merkle.Tree:
        starts = range(0, self.rows, BUCKET)
        return merkle.Tree(self._leaf(start // BUCKET) for start in starts)

    @property
    def root(self) -> bytes:
        """RFC 6962's root over the buckets; its empty root for an epoch without rows."""
        return self._tree.root()

    def prove(self, label: bytes) -> BucketProof:
        """The bucket that answers for ``label``. Raises `ManifestError` if there are no rows."""
        if not self.rows:
            raise ManifestError("an epoch without rows needs no proof")
        position = max(bisect_right(self._labels, label) - 1, 0)
        index = position // BUCKET
        path = self._tree.inclusion_proof(index)
        return BucketProof(
            self._bucket(index), self._next_label(index), index, self._tree.size, tuple(path)
        )

    def _bucket(self, index: int) -> bytes:
        size = BUCKET * ENTRY_BYTES
        return self.entries[index * size : (index + 1) * size]

    def _next_label(self, index: int) -> bytes:
        at = (index + 1) * BUCKET
        return self._labels[at] if at < self.rows else _END

    def _leaf(self, index: int) -> bytes:
        return self._bucket(index) + self._next_label(index)


def check(proof: BucketProof, root: bytes, label: bytes, body: bytes | None) -> None:
    """Check that ``label`` holds ``body``, or (None) that no row has it, under ``root``.

    1. The bucket hangs under the root.
    2. It is the one that answers for the label.
    3. The entry is there with this body, or is not there.

    Raises `ManifestError`.
    """
    # The leaf's two parts stand side by side: cut elsewhere, a row would hide in the next label.
    if len(proof.next_label) != 16:
        raise ManifestError("the bucket is cut at another place")
    leaf = merkle.leaf_hash(proof.bucket + proof.next_label)
    try:
        merkle.verify_inclusion(leaf, proof.index, proof.buckets, list(proof.path), root)
    except ProofError as error:
        raise ManifestError("the bucket does not belong to the epoch") from error

    first = proof.bucket[:16]
    if label >= proof.next_label or (label < first and proof.index != 0):
        raise ManifestError("the bucket does not answer for this label")

    size = ENTRY_BYTES
    found = [e for e in (proof.bucket[i : i + size] for i in range(0, len(proof.bucket), size))
             if e[:16] == label]  # fmt: skip
    expected = [] if body is None else [entry(label, body)]
    if found != expected:
        raise ManifestError("the row differs from the manifest")
