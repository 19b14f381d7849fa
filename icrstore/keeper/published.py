"""The keepers' logs as they were published, in a folder or at a store's URL, for `recover`.

Nothing here is believed before its signatures, the other keeper's cosignature and its hashes hold.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from icrstore.keeper.errors import Refused
from icrstore.keeper.evidence import LogKeys
from icrstore.keeper.leaves import LeafError, LeafText
from icrstore.keeper.names import pseudonym_of
from icrstore.seal.epoch import Role
from icrstore.tlog.checkpoint import Checkpoint
from icrstore.tlog.errors import LogError
from icrstore.tlog.follow import Source, follow
from icrstore.tlog.merkle import root_of
from icrstore.wire import fetch
from icrstore.wire.errors import CallFailed

Fetch = Callable[[str], bytes]


@dataclass(frozen=True)
class PublishedLog:
    """A whole log up to a checkpoint that it signed and the other keeper cosigned."""

    checkpoint: Checkpoint
    note: bytes
    leaves: tuple[LeafText, ...]

    @property
    def entries(self) -> list[bytes]:
        return [leaf.encode() for leaf in self.leaves]

    def holds(self, other: Checkpoint) -> bool:
        """Whether another checkpoint is of this very log, at this size or a smaller one."""
        size = other.size
        return size <= self.checkpoint.size and root_of(self.entries[:size]) == other.root


def read_log(bring: Fetch, role: Role, origin: str, keys: LogKeys) -> PublishedLog:
    """All of one log.

    1. The checkpoint is of this log, signed by it and cosigned by the other keeper.
    2. There are as many entries, and they have the signed root.
    3. Every entry is a leaf.

    Raises Refused(not-published), and Refused(published-wrong) where one of these does not hold.
    """
    place = f"ledger/{role}/{pseudonym_of(origin)}"
    published = Source(
        lambda path: bring(f"{place}/{path}"), origin, keys.log_verifier(origin), keys.witness
    )
    try:
        # 1. and 2.
        followed = follow(published, None)
        # 3.
        leaves = tuple(LeafText.parse(entry.decode("ascii")) for entry in followed.entries)
    except (LogError, LeafError, UnicodeDecodeError):
        raise Refused("published-wrong") from None
    return PublishedLog(followed.seen.checkpoint, followed.seen.note, leaves)


def source(where: str) -> Fetch:
    """How to bring what lies at a path below a folder or a store's URL.

    Raises ValueError for what is neither.
    """
    if fetch.is_server(where):
        return lambda path: _get(where, path)
    folder = Path(where)
    if not folder.is_dir():
        raise ValueError(f"{where}: neither a folder nor https://STORE")
    return lambda path: _read(folder / path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise Refused("not-published") from None


def _get(where: str, path: str) -> bytes:
    try:
        answer = fetch.call(where, path)
    except CallFailed:
        raise Refused("not-published") from None
    if answer.status != 200:
        raise Refused("not-published")
    return answer.body
