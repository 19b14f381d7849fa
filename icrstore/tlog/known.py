"""What is known of a log's tree by the proofs that it gave: often enough to make the next one.

Nothing here is believed: check a proof that is made of it as one that was given.
"""

from collections.abc import Iterator, Sequence

from icrstore.tlog.merkle import node_hash, siblings

MOST_NODES = 1 << 14


class Known:
    """Complete subtrees of one growing tree. Safe to use from many threads."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[int, int], bytes] = {}

    def learn(self, leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> None:
        """A leaf's hash, and the audit path that it was shown with in the tree of `size` leaves."""
        if len(self._nodes) > MOST_NODES:
            # The next paths tell again what of it is needed: the subtrees left of their leaves.
            self._nodes = {}
        self._nodes[0, index] = leaf
        self._nodes.update(_complete(index, size, proof))

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree. Raises KeyError where it is not known."""
        nodes = self._nodes
        if level and (level, index) not in nodes:
            below = self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1)
            nodes[level, index] = node_hash(*below)
        return nodes[level, index]


def _complete(
    index: int, size: int, proof: Sequence[bytes]
) -> Iterator[tuple[tuple[int, int], bytes]]:
    for (start, end), sibling in zip(siblings(index, size), proof, strict=False):
        level = (end - start).bit_length() - 1
        # At the right edge a sibling may be of no complete subtree, and then it changes.
        if end - start == 1 << level:
            yield (level, start >> level), sibling
