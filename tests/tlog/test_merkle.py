"""Merkle proofs, every one to 128 leaves, against RFC 6962's own definitions and every forgery."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from icrstore.tlog import merkle
from icrstore.tlog.errors import ProofError
from icrstore.tlog.merkle import EMPTY_ROOT, Tree, leaf_hash, node_hash
from tests.tlog import definitions

LARGEST = 128
LEAVES = tuple(b"leaf %d" % number for number in range(LARGEST))
TREE = Tree(LEAVES)
ROOTS = [definitions.mth(LEAVES[:size]) for size in range(LARGEST + 1)]
OTHER = b"\x5a" * 32

Check = Callable[[list[bytes]], None]


def _forgeries(proof: list[bytes]) -> Iterator[list[bytes]]:
    """The proof with one hash changed, dropped, added, or two neighbours swapped."""
    for at, each in enumerate(proof):
        yield [*proof[:at], bytes([each[0] ^ 1]) + each[1:], *proof[at + 1 :]]
        yield [*proof[:at], *proof[at + 1 :]]
        yield [*proof[:at], OTHER, *proof[at:]]
        yield [*proof[:at], each, *proof[at:]]
    yield [*proof, OTHER]
    for at in range(len(proof) - 1):
        yield [*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :]]


def _refuses_every_forgery(check: Check, proof: list[bytes]) -> None:
    # Half a million times: pytest.raises would take longer than the hashing.
    passed = [forged for forged in _forgeries(proof) if not _is_refused(check, forged)]
    assert passed == []


def _is_refused(check: Check, forged: list[bytes]) -> bool:
    try:
        check(forged)
    except ProofError:
        return True
    return False


def test_roots_are_those_of_the_definition() -> None:
    assert [merkle.root(TREE.node, size) for size in range(LARGEST + 1)] == ROOTS
    assert [merkle.root_of(LEAVES[:size]) for size in range(LARGEST + 1)] == ROOTS
    assert ROOTS[0] == EMPTY_ROOT


def test_every_inclusion_proof_is_that_of_the_definition_and_no_forgery_passes() -> None:
    for size in range(1, LARGEST + 1):
        for index in range(size):
            proof = merkle.inclusion_proof(TREE.node, index, size)
            assert proof == definitions.path(index, LEAVES[:size])

            def check(
                path: list[bytes], index: int = index, size: int = size, leaf: int = index
            ) -> None:
                merkle.verify_inclusion(TREE.node(0, leaf), index, size, path, ROOTS[size])

            check(proof)
            _refuses_every_forgery(check, proof)
            for wrong in (index - 1, index + 1, index ^ 2):
                with pytest.raises(ProofError):
                    check(proof, index=wrong)


def test_every_consistency_proof_is_that_of_the_definition_and_no_forgery_passes() -> None:
    for new in range(1, LARGEST + 1):
        for old in range(1, new + 1):
            proof = merkle.consistency_proof(TREE.node, old, new)
            assert proof == definitions.proof(old, LEAVES[:new])

            def check(path: list[bytes], old: int = old, new: int = new) -> None:
                merkle.verify_consistency(old, new, path, ROOTS[old], ROOTS[new])

            check(proof)
            _refuses_every_forgery(check, proof)


def test_a_consistency_proof_holds_for_no_other_root_or_size() -> None:
    for old, new in itertools.combinations(range(1, 33), 2):
        proof = merkle.consistency_proof(TREE.node, old, new)
        for wrong_old, wrong_new in ((OTHER, ROOTS[new]), (ROOTS[old], OTHER)):
            with pytest.raises(ProofError):
                merkle.verify_consistency(old, new, proof, wrong_old, wrong_new)
        for sizes in ((old - 1, new), (old + 1, new)):
            with pytest.raises(ProofError):
                merkle.verify_consistency(*sizes, proof, ROOTS[old], ROOTS[new])


def test_a_tree_whose_history_was_rewritten_is_not_consistent() -> None:
    for old, new in itertools.combinations(range(1, 24), 2):
        for changed in range(old):
            leaves = [*LEAVES[:changed], b"rewritten", *LEAVES[changed + 1 : new]]
            rewritten = Tree(leaves)
            proof = merkle.consistency_proof(rewritten.node, old, new)
            with pytest.raises(ProofError):
                merkle.verify_consistency(old, new, proof, ROOTS[old], rewritten.root())


def test_from_no_leaves_everything_is_consistent_without_proof() -> None:
    merkle.verify_consistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
    merkle.verify_consistency(0, 7, merkle.consistency_proof(TREE.node, 0, 7), EMPTY_ROOT, ROOTS[7])
    for arguments, reason in (
        ((0, 7, [OTHER], EMPTY_ROOT, ROOTS[7]), "proof-length"),
        ((0, 7, [], ROOTS[7], ROOTS[7]), "wrong-old-root"),
        ((0, 0, [], EMPTY_ROOT, OTHER), "wrong-root"),
        ((7, 7, [], ROOTS[7], ROOTS[6]), "wrong-root"),
    ):
        with pytest.raises(ProofError, match=rf"^{reason}$"):
            merkle.verify_consistency(*arguments)


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3), (3, -1), (-2, -1)])
def test_it_refuses_sizes_that_cannot_be(old: int, new: int) -> None:
    with pytest.raises(ProofError, match=r"^malformed$"):
        merkle.verify_consistency(old, new, [], OTHER, OTHER)
    with pytest.raises(ProofError, match=r"^malformed$"):
        merkle.consistency_proof(TREE.node, old, new)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (4, 3), (0, -1)])
def test_it_refuses_leaves_that_cannot_be(index: int, size: int) -> None:
    with pytest.raises(ProofError, match=r"^malformed$"):
        merkle.verify_inclusion(OTHER, index, size, [], OTHER)
    with pytest.raises(ProofError, match=r"^malformed$"):
        merkle.inclusion_proof(TREE.node, index, size)


def test_it_refuses_hashes_of_another_length_even_if_they_hash_alike() -> None:
    left, right = TREE.node(0, 0), TREE.node(0, 1)
    assert node_hash(left + right[:1], right[1:]) == ROOTS[2]
    with pytest.raises(ProofError, match=r"^malformed$"):
        merkle.verify_inclusion(left + right[:1], 0, 2, [right[1:]], ROOTS[2])
    with pytest.raises(ProofError, match=r"^malformed$"):
        merkle.verify_consistency(1, 2, [right[1:]], left + right[:1], ROOTS[2])


def test_a_larger_tree_does_not_pass_for_a_smaller_one() -> None:
    with pytest.raises(ProofError, match="proof-length"):
        merkle.verify_inclusion(TREE.node(0, 1), 0, 1, [TREE.node(0, 0)], ROOTS[2])
    for size in range(2, LARGEST):
        last = size - 1
        proof = merkle.inclusion_proof(TREE.node, last, size)
        for smaller in (0, 1, last):
            with pytest.raises(ProofError):
                merkle.verify_inclusion(TREE.node(0, last), last, smaller, proof, ROOTS[size])


def test_a_node_does_not_pass_for_a_leaf() -> None:
    above = TREE.node(1, 0)
    assert leaf_hash(TREE.node(0, 0) + TREE.node(0, 1)) != above
    with pytest.raises(ProofError):
        merkle.verify_inclusion(above, 0, 4, [TREE.node(1, 1)], ROOTS[4])


def test_appending_one_by_one_stores_each_complete_subtree_once() -> None:
    stored: dict[tuple[int, int], bytes] = {}

    def node(level: int, index: int) -> bytes:
        return stored[level, index]

    for size, data in enumerate(LEAVES):
        for level, index, digest in merkle.new_nodes(node, size, leaf_hash(data)):
            assert (level, index) not in stored
            stored[level, index] = digest
        assert merkle.root(node, size + 1) == ROOTS[size + 1]
    assert len(stored) == 2 * LARGEST - 1
    assert all(TREE.node(*place) == digest for place, digest in stored.items())


def test_proofs_ask_only_for_subtrees_that_are_complete() -> None:
    def node(level: int, index: int) -> bytes:
        assert (index + 1) << level <= size
        return TREE.node(level, index)

    for size in range(1, LARGEST + 1):
        merkle.root(node, size)
        for number in range(size):
            merkle.inclusion_proof(node, number, size)
            merkle.consistency_proof(node, number, size)


def test_a_manifest_of_many_leaves_is_proven() -> None:
    leaves = [number.to_bytes(4, "big") for number in range(20_001)]
    tree = Tree(leaves)
    for index in (0, 1, 9_999, 16_383, 16_384, 19_999, 20_000):
        proof = tree.inclusion_proof(index)
        merkle.verify_inclusion(leaf_hash(leaves[index]), index, tree.size, proof, tree.root())
