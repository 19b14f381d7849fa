"""Forks: a log that signed two histories is convicted by its own signatures, for anyone to check.

A consistency proof that fails shows nothing, since anybody can make one. What is kept leads from
the larger tree, whose root the log signed, to the root that its beginning truly has, beside the
other root that the log signed for that size.
"""

from collections.abc import Callable, Iterable, Sequence

from icrstore.tlog import merkle
from icrstore.tlog.checkpoint import Checkpoint
from icrstore.warrant.strict import dump

Signed = tuple[Checkpoint, str]  # a checkpoint of the log, and the note that the log signed
Entries = Callable[[int], Sequence[bytes]]  # the first so many leaves of a log, as somebody says


def evidence_of(one: Signed, other: Signed, trees: Iterable[Entries]) -> bytes | None:
    """What `icr-verify fork` checks; None where both can be true, or nobody has the larger tree.

    ``trees`` are asked in turn until one leads to the larger root.
    """
    (small, small_note), (large, large_note) = sorted((one, other), key=lambda each: each[0].size)
    path = _path(small, large, trees)
    if path is None:
        return None
    return dump({"v": 1, "notes": [small_note, large_note], "path": [each.hex() for each in path]})


def _path(small: Checkpoint, large: Checkpoint, trees: Iterable[Entries]) -> Sequence[bytes] | None:
    if small.size == large.size:
        return None if small.root == large.root else ()
    if small.size == 0:
        return None
    for entries in trees:
        tree = merkle.Tree(entries(large.size))
        if tree.size == large.size and tree.root() == large.root:
            if merkle.root(tree.node, small.size) == small.root:
                return None
            return merkle.fork_path(tree.node, small.size, large.size)
    return None
