"""A keeper's log as its copy shows it, believed only once it leads to the root that it signed."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from icrstore.keeper.evidence import LogKeys
from icrstore.keeper.leaves import LeafError, LeafText
from icrstore.keeper.names import is_log_of, pseudonym_of
from icrstore.seal.epoch import Role
from icrstore.tlog.checkpoint import verify_cosigned
from icrstore.tlog.errors import LogError
from icrstore.tlog.merkle import root_of
from icrstore.tlog.tiles import read_entries
from icrstore.warrant.strict import time_text
from icrstore.warrant.trust import Trust

Fetch = Callable[[str], bytes]  # the bytes at a path of the store


class NotProven(Exception):
    """The copy does not lead to what the log signed; the message says what failed."""


@dataclass(frozen=True)
class ReadLog:
    """A whole log at the size that was cosigned at ``cosigned_at``: its leaves by type, and how
    many are due to a subscriber."""

    role: Role
    origin: str
    size: int
    cosigned_at: datetime
    leaves: Mapping[str, int]
    due: int

    def to_object(self) -> dict[str, Any]:
        return {
            "keeper": self.role,
            "origin": self.origin,
            "size": self.size,
            "cosigned_at": time_text(self.cosigned_at),
            "leaves": dict(self.leaves),
            "due": self.due,
        }


def read_log(fetch: Fetch, trust: Trust, role: Role, origin: str) -> ReadLog:
    """Fetch all of a log and check it.

    1. It is a log of a trusted keeper of that role.
    2. The checkpoint is signed by the log and cosigned by the keeper of the other role.
    3. The entries are as many, and have the signed root.
    4. Every entry is a leaf.

    Raises `NotProven`.
    """
    # 1.
    keys = _keys(trust, role, origin)
    if keys is None:
        raise NotProven("it is of no keeper that the trust file names")
    place = f"/ledger/{role}/{pseudonym_of(origin)}"
    try:
        # 2.
        signed, times = verify_cosigned(
            fetch(f"{place}/checkpoint"), origin, keys.log_verifier(origin), [keys.witness],
            at_least=1,
        )  # fmt: skip
        # 3.
        entries = read_entries(lambda path: fetch(f"{place}/{path}"), signed.size)
    except LogError as error:
        raise NotProven(error.reason) from None
    if root_of(entries) != signed.root:
        raise NotProven("the entries do not have the signed root")
    # 4.
    leaves = [_leaf(entry) for entry in entries]
    return ReadLog(
        role=role,
        origin=origin,
        size=signed.size,
        cosigned_at=datetime.fromtimestamp(times[keys.witness], UTC),
        leaves=Counter(leaf.type for leaf in leaves),
        due=sum(leaf.due != "-" for leaf in leaves),
    )


def _keys(trust: Trust, role: Role, origin: str) -> LogKeys | None:
    for own in trust.keepers:
        if own.role == role and is_log_of(own.name, origin):
            other = next(one for one in trust.keepers if one.role != role)
            return LogKeys(own.name, own.log_key, other.name, other.witness_key)
    return None


def _leaf(entry: bytes) -> LeafText:
    try:
        return LeafText.parse(entry.decode("ascii"))
    except (LeafError, UnicodeDecodeError):
        raise NotProven("an entry is no leaf") from None
