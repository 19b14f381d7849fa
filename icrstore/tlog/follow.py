"""Following a log from its static files, after C2SP tlog-tiles: what is new counts only if it leads
from the tree that was seen before to the root that the log has signed since.

What must be kept between two looks is small: the last note, and the hashes of the complete subtrees
at the tree's right edge.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from icrstore.tlog.checkpoint import Checkpoint, verify_cosigned
from icrstore.tlog.errors import LogError
from icrstore.tlog.merkle import (
    Node,
    Tree,
    edge,
    fork_path,
    leaf_hash,
    new_nodes,
    root,
)
from icrstore.tlog.note import VerifierKey
from icrstore.tlog.tiles import Fetch, read_entries


class FollowError(LogError):
    """What is shown is not this log as it was seen.

    Reasons: `fewer-leaves` (than were seen: cut off, or an old copy), `entries-differ` (they do not
    have the signed root).
    """


class Forked(LogError):
    """The log signed two trees, neither of which continues the other (`forked`).

    Anyone sees it by both `notes`, the older first, and `path`: it leads to the newer root, and to
    another root than the older note's of as many leaves. It is the consistency proof with its first
    node always told; of trees of one size, which need none, it is empty.
    """

    def __init__(self, older: bytes, newer: bytes, path: Sequence[bytes]) -> None:
        super().__init__("forked")
        self.notes, self.path = (older, newer), tuple(path)


@dataclass(frozen=True)
class Source:
    """Where a log is read, and by whom it must be signed and cosigned."""

    fetch: Fetch
    origin: str
    log_key: VerifierKey
    witness: VerifierKey


@dataclass(frozen=True)
class Seen:
    """A log as it was seen: the note and what it says, and the hashes of the tree's edge."""

    note: bytes
    checkpoint: Checkpoint
    edge: tuple[bytes, ...]


@dataclass(frozen=True)
class Followed:
    """What is seen now, when it was cosigned (Unix seconds), and the entries that are new."""

    seen: Seen
    cosigned_at: int
    entries: tuple[bytes, ...]


class Growth:
    """A tree that grows: the nodes that are `held` already, and above all those made since."""

    def __init__(self, held: Node) -> None:
        self._held = held
        self.made: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, number: int) -> bytes:
        made = self.made.get((level, number))
        return self._held(level, number) if made is None else made

    def add(self, first: int, entries: Iterable[bytes]) -> None:
        """Entries ``first`` and on."""
        for number, entry in enumerate(entries, first):
            for level, index, made in new_nodes(self.node, number, leaf_hash(entry)):
                self.made[level, index] = made


def follow(source: Source, before: Seen | None) -> Followed:
    """Take what is new since ``before``.

    1. The checkpoint is signed by the log and cosigned by its witness.
    2. The log has not become smaller.
    3. The new entries lead from the edge that was seen to the signed root.
    4. If not, they are looked at from the first on: entries of that root convict the log.

    Raises `Forked`, `FollowError`, and what the checkpoint or a bundle is refused with.
    """
    # 1.
    note = source.fetch("checkpoint")
    checkpoint, times = verify_cosigned(
        note, source.origin, source.log_key, [source.witness], at_least=1
    )
    # 2.
    size = before.checkpoint.size if before else 0
    if checkpoint.size < size:
        raise FollowError("fewer-leaves")
    # 3.
    entries = read_entries(source.fetch, checkpoint.size, size)
    growth = Growth(_edge_of(before))
    growth.add(size, entries)
    if root(growth.node, checkpoint.size) != checkpoint.root:
        # 4.
        raise _conviction(source.fetch, before, note, checkpoint)
    hashes = tuple(growth.node(*place) for place in edge(checkpoint.size))
    return Followed(Seen(note, checkpoint, hashes), times[source.witness], tuple(entries))


def _edge_of(before: Seen | None) -> Node:
    held = dict(zip(edge(before.checkpoint.size), before.edge, strict=True)) if before else {}
    return lambda level, number: held[level, number]


def _conviction(fetch: Fetch, before: Seen | None, note: bytes, checkpoint: Checkpoint) -> LogError:
    tree = Tree(read_entries(fetch, checkpoint.size))
    if before is None or tree.root() != checkpoint.root:
        return FollowError("entries-differ")
    old = before.checkpoint.size
    return Forked(
        before.note, note, fork_path(tree.node, old, tree.size) if old < tree.size else ()
    )
