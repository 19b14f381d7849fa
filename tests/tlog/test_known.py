"""What is made of proofs that were given is what the tree itself would give, or nothing."""

import random
from collections.abc import Callable, Sequence

import pytest

from icrstore.tlog import known as rooms
from icrstore.tlog.known import Known
from icrstore.tlog.merkle import Tree, consistency_proof, inclusion_proof, leaf_hash

LEAVES = [b"leaf %d" % number for number in range(150)]


def shown(known: Known, indexes: Sequence[int], size: int) -> None:
    tree = Tree(LEAVES[:size])
    for index in indexes:
        known.learn(leaf_hash(LEAVES[index]), index, size, tree.inclusion_proof(index))


def made(make: Callable[[], list[bytes]]) -> list[bytes] | None:
    try:
        return make()
    except KeyError:
        return None


@pytest.mark.parametrize("old", [1, 2, 3, 4, 5, 7, 8, 21, 32, 33, 63])
def test_every_leaf_since_tells_how_the_tree_went_on(old: int) -> None:
    """Each shown as it was written, by a keeper that answers one call after another."""
    known = Known()
    for size in range(old + 1, 80):
        shown(known, [size - 1], size)
        tree = Tree(LEAVES[:size])
        assert consistency_proof(known.node, old, size) == consistency_proof(tree.node, old, size)
        for index in range(old, size):
            assert inclusion_proof(known.node, index, size) == tree.inclusion_proof(index)


@pytest.mark.parametrize("seed", range(10))
def test_what_is_missing_is_not_guessed(seed: int) -> None:
    """Some leaves are shown, in trees of any size: all that is made of them is right."""
    dice, known, right = random.Random(seed), Known(), 0
    for _ in range(60):
        size = dice.randint(1, len(LEAVES))
        shown(known, dice.sample(range(size), min(size, 2)), size)
        old, new = sorted(dice.sample(range(1, len(LEAVES) + 1), 2))
        tree = Tree(LEAVES[:new])
        proof = made(lambda: consistency_proof(known.node, old, new))  # noqa: B023
        assert proof in (None, consistency_proof(tree.node, old, new))
        right += proof is not None
        index = dice.randrange(new)
        path = made(lambda: inclusion_proof(known.node, index, new))  # noqa: B023
        assert path in (None, tree.inclusion_proof(index))
    assert right


def test_a_leaf_that_nobody_showed_is_not_known() -> None:
    known = Known()
    shown(known, [6], 7)
    shown(known, [8], 9)  # leaf 7 is another's
    with pytest.raises(KeyError):
        inclusion_proof(known.node, 6, 9)
    assert consistency_proof(known.node, 8, 9) == consistency_proof(Tree(LEAVES[:9]).node, 8, 9)


def test_it_keeps_so_many_and_goes_on_after_it_forgot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MOST_NODES", 20)
    known = Known()
    for size in range(1, len(LEAVES)):
        shown(known, [size - 1], size)
        assert len(known._nodes) <= 20 + 2 * 8 + 2
        if size > 1:
            tree = Tree(LEAVES[:size])
            proof = consistency_proof(tree.node, size - 1, size)
            assert consistency_proof(known.node, size - 1, size) == proof
