"""The proof of one label, picked from all of a manifest's as the store picks it."""

from icrstore.seal.manifest import BucketProof, Manifest


def prove(manifest: Manifest, label: bytes) -> BucketProof:
    *_, last = (proof for proof in manifest.proofs() if proof.begins <= label)
    return last
