"""Merkle hashing and proofs, after RFC 6962 section 2.1; verification after RFC 9162 section 2.1.

A log's tree is kept by its complete subtrees alone: `node(level, index)` is the hash of the 2^level
leaves from leaf index * 2^level on. Such a hash never changes once those leaves are there, so a
store of them is append-only, and this module needs nothing else of it. A hash is 32 bytes.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from icrstore.tlog.errors import ProofError

Node = Callable[[int, int], bytes]

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf's data; its prefix keeps a leaf from posing as a node."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node above two hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def new_nodes(node: Node, size: int, leaf: bytes) -> list[tuple[int, int, bytes]]:
    """The complete subtrees, as (level, index, hash), that leaf number `size` completes.

    `leaf` is the new leaf's hash. The first is the leaf itself, at level 0; store them all before
    the tree of `size` + 1 leaves is spoken of.
    """
    level, index, current = 0, size, leaf
    nodes = [(level, index, current)]
    while index & 1:
        current = node_hash(node(level, index - 1), current)
        level, index = level + 1, index >> 1
        nodes.append((level, index, current))
    return nodes


def root(node: Node, size: int) -> bytes:
    """The root of the first `size` leaves."""
    return _range_hash(node, 0, size) if size else EMPTY_ROOT


def edge(size: int) -> list[tuple[int, int]]:
    """The complete subtrees, as (level, index), that a tree of `size` leaves is cut into, the
    largest first: with their hashes a tree can grow, and needs none below them."""
    return _cut(0, size)


def inclusion_proof(node: Node, index: int, size: int) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `size` leaves, from the leaf up.

    Raises ProofError(malformed) where there is no such leaf.
    """
    if not 0 <= index < size:
        raise ProofError("malformed")
    return [_range_hash(node, start, end) for start, end in siblings(index, size)]


def siblings(index: int, size: int) -> list[tuple[int, int]]:
    """The ranges of leaves (start, end) whose hashes are the audit path of a leaf, from it up."""
    ranges = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_proof(node: Node, old: int, new: int) -> list[bytes]:
    """The proof that the first `old` leaves are the beginning of the first `new`.

    Empty from no leaves and to the same tree. Raises ProofError(malformed) unless 0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise ProofError("malformed")
    if old == 0:
        return []
    proof = []
    start, end = 0, new
    while old < end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(_range_hash(node, middle, end))
            end = middle
        else:
            proof.append(_range_hash(node, start, middle))
            start = middle
    if start:  # The old tree is not one subtree of the new: its right edge must be told.
        proof.append(_range_hash(node, start, end))
    return proof[::-1]


def fork_path(node: Node, old: int, new: int) -> list[bytes]:
    """What leads to the root of ``new`` leaves and to that of the first ``old``, fewer, of them.

    The consistency proof with its first node always told: a proof leaves it out where it is the old
    root itself. So whoever has another old root, signed, has the log convicted.
    """
    level = (old & -old).bit_length() - 1
    start = [node(level, 0)] if old == 1 << level else []
    return start + consistency_proof(node, old, new)


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Raise ProofError unless the leaf hash is at `index` under this root of `size` leaves."""
    _check_hashes(leaf, root, *proof)
    if not 0 <= index < size:
        raise ProofError("malformed")
    sides = _sides(index, size)
    if len(proof) != len(sides):
        raise ProofError("proof-length")
    current, sha256 = leaf, hashlib.sha256
    # `node_hash`, written out: an engine verifies thousands of proofs for one answer.
    for sibling, is_left in zip(proof, sides, strict=True):
        if is_left:
            current = sha256(b"\x01" + sibling + current).digest()
        else:
            current = sha256(b"\x01" + current + sibling).digest()
    if current != root:
        raise ProofError("wrong-root")


@lru_cache(maxsize=1 << 12)
def _sides(index: int, size: int) -> tuple[bool, ...]:
    """Of each hash of a leaf's audit path, from the leaf up, whether it stands left."""
    made = []
    position, last = index, size - 1
    while last:
        is_left = bool(position & 1) or position == last
        made.append(is_left)
        if is_left:
            while not position & 1 and position:  # Levels where the right edge has no sibling.
                position, last = position >> 1, last >> 1
        position, last = position >> 1, last >> 1
    return tuple(made)


def verify_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Raise ProofError unless the tree of `old` leaves is the beginning of the tree of `new`.

    From no leaves the proof is empty and the old root is that of the empty tree, as C2SP has it.
    """
    _check_hashes(old_root, new_root, *proof)
    if not 0 <= old <= new:
        raise ProofError("malformed")
    if old == 0 or old == new:
        _verify_without_proof(old, new, proof, old_root, new_root)
        return
    if old & (old - 1) == 0:  # The old tree is one subtree of the new and is the proof's start.
        proof = [old_root, *proof]
    if not proof:
        raise ProofError("proof-length")
    _verify_path(old, new, proof, old_root, new_root)


def _verify_without_proof(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    if proof:
        raise ProofError("proof-length")
    if old == 0 and old_root != EMPTY_ROOT:
        raise ProofError("wrong-old-root")
    if old == new and old_root != new_root:
        raise ProofError("wrong-root")


def _verify_path(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """RFC 9162 section 2.1.4.2, steps 3 to 7: rebuild both roots from one path."""
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_hash = new_hash = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            raise ProofError("proof-length")
        if position & 1 or position == last:
            old_hash, new_hash = node_hash(sibling, old_hash), node_hash(sibling, new_hash)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_hash = node_hash(new_hash, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError("proof-length")
    if old_hash != old_root:
        raise ProofError("wrong-old-root")
    if new_hash != new_root:
        raise ProofError("wrong-root")


class Tree:
    """A tree of leaves that are all known at once, in memory; built in O(n) hashes."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        """From the leaves' data, in order."""
        level = [leaf_hash(data) for data in leaves]
        self.size = len(level)
        self._levels = [level]
        while len(level) > 1:
            # A last node without a sibling is not complete above, so zip leaves it out.
            level = [node_hash(*pair) for pair in zip(level[::2], level[1::2], strict=False)]
            self._levels.append(level)

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree, for this module's and the tiles' functions."""
        return self._levels[level][index]

    def root(self) -> bytes:
        """The root of all leaves."""
        return root(self.node, self.size)

    def inclusion_proof(self, index: int) -> list[bytes]:
        """The audit path of leaf `index`; raises ProofError(malformed) where there is none."""
        return inclusion_proof(self.node, index, self.size)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root of these leaves' data."""
    return Tree(leaves).root()


def _range_hash(node: Node, start: int, end: int) -> bytes:
    """The hash of leaves start to end - 1, not none, that RFC 6962 hashes as one subtree.

    Such a range is cut into complete subtrees, largest first, which are joined from the right.
    """
    peaks = [node(*place) for place in _cut(start, end)]
    current = peaks.pop()
    while peaks:
        current = node_hash(peaks.pop(), current)
    return current


def _cut(start: int, end: int) -> list[tuple[int, int]]:
    places = []
    while start < end:
        level = (end - start).bit_length() - 1
        places.append((level, start >> level))
        start += 1 << level
    return places


def _split(count: int) -> int:
    """The largest power of two below `count`, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1


def _check_hashes(*hashes: bytes) -> None:
    """Refuse a hash of another length: two of 31 and 33 bytes would hash as two of 32 do."""
    if set(map(len, hashes)) != {HASH_BYTES}:
        raise ProofError("malformed")
