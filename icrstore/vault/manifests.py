"""Manifests as stored: each bucket with its path, in a partition for each month, written by COPY.

So that a proof costs one probe, whatever the epoch's size. Not trusted: a bucket is believed only
under the root that the epoch's statement signs.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from django.db import connection

from icrstore.seal.manifest import BucketProof, Manifest, buckets_of
from icrstore.tlog.merkle import HASH_BYTES
from icrstore.vault.binary import binary_cursor

COLUMNS = "number, leaf, path"


def copy_manifests(epochs: Iterable[tuple[int, int, Manifest]]) -> None:
    """The buckets of some epochs, each with its month and number; in the caller's transaction."""
    with (
        connection.cursor() as cursor,
        cursor.copy(
            f"COPY vault_bucket (month, epoch_no, begins, {COLUMNS}) FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.set_types(["int4", "int8", "bytea", "int4", "bytea", "bytea"])
        for month, epoch_no, manifest in epochs:
            for proof in manifest.proofs():
                path = b"".join(proof.path)
                copy.write_row((month, epoch_no, proof.begins, proof.index, proof.leaf, path))


def proof_of(rows: int, number: int, leaf: bytes, path: bytes) -> BucketProof:
    """A bucket as it is stored, of an epoch that has so many rows by its statement."""
    return BucketProof(leaf, number, buckets_of(rows), _cut(len(path))(path))


@lru_cache(maxsize=64)
def _cut(length: int) -> Callable[[bytes], tuple[bytes, ...]]:
    """What cuts a path of so many bytes into its hashes; bytes that are left over make one more,
    which no proof has."""
    hashes, rest = divmod(length, HASH_BYTES)
    return struct.Struct(f"{HASH_BYTES}s" * hashes + f"{rest}s" * bool(rest)).unpack


def stored_proofs(month: int, epoch_no: int, rows: int) -> Iterator[tuple[bytes, BucketProof]]:
    """Every bucket that is stored of an epoch, with the label from which it is found, in order."""
    with binary_cursor() as cursor:
        cursor.execute(
            f"SELECT begins, {COLUMNS} FROM vault_bucket"  # noqa: S608 - a constant of ours
            " WHERE month = %s AND epoch_no = %s ORDER BY begins",
            [month, epoch_no],
        )
        for begins, *stored in cursor:
            yield begins, proof_of(rows, *stored)
