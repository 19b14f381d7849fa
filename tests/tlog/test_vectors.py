"""Our own vectors of hashes and proofs, checked as any other implementation would."""

import pytest

from icrstore.tlog import merkle
from tests.tlog.vectors import LEAVES, ROOTS, TREE, VECTORS


def _hashes(proof: list[str]) -> list[bytes]:
    return [bytes.fromhex(each) for each in proof]


def test_roots_are_ours() -> None:
    assert [merkle.root(TREE.node, size) for size in range(len(LEAVES) + 1)] == ROOTS


@pytest.mark.parametrize("vector", VECTORS["inclusion"], ids=lambda v: f"{v['index']}of{v['size']}")
def test_inclusion_proofs_are_ours_and_verify(vector: dict[str, int | list[str]]) -> None:
    index, size, proof = (vector[name] for name in ("index", "size", "proof"))
    assert isinstance(index, int)
    assert isinstance(size, int)
    assert isinstance(proof, list)
    assert merkle.inclusion_proof(TREE.node, index, size) == _hashes(proof)
    merkle.verify_inclusion(TREE.node(0, index), index, size, _hashes(proof), ROOTS[size])


@pytest.mark.parametrize("vector", VECTORS["consistency"], ids=lambda v: f"{v['old']}to{v['new']}")
def test_consistency_proofs_are_ours_and_verify(vector: dict[str, int | list[str]]) -> None:
    old, new, proof = (vector[name] for name in ("old", "new", "proof"))
    assert isinstance(old, int)
    assert isinstance(new, int)
    assert isinstance(proof, list)
    assert merkle.consistency_proof(TREE.node, old, new) == _hashes(proof)
    merkle.verify_consistency(old, new, _hashes(proof), ROOTS[old], ROOTS[new])
