"""A bucket as it is stored makes the proof that it was; what was cut or added proves nothing."""

import pytest

from icrstore.seal.manifest import BUCKET, BucketError, BucketProof, Manifest, check
from icrstore.seal.rows import Row
from icrstore.vault.manifests import proof_of

ROWS = [Row(n.to_bytes(16), b"body %d" % n) for n in range(5 * BUCKET + 1)]
MANIFEST = Manifest.of(ROWS)


def stored(proof: BucketProof, path: bytes) -> BucketProof:
    return proof_of(len(ROWS), proof.index, proof.leaf, path)


def test_every_bucket_is_as_it_was() -> None:
    for proof in MANIFEST.proofs():
        assert stored(proof, b"".join(proof.path)) == proof


@pytest.mark.parametrize("cut", [1, 31, 32, 33])
def test_a_path_of_another_length_proves_nothing(cut: int) -> None:
    proof = next(MANIFEST.proofs())
    path = b"".join(proof.path)
    for spoilt in (path[:-cut], path + path[:cut]):
        with pytest.raises(BucketError):
            check(stored(proof, spoilt), MANIFEST.root, ROWS[0].label, ROWS[0].body)
    check(stored(proof, path), MANIFEST.root, ROWS[0].label, ROWS[0].body)
