"""A keeper's whole log as its copy shows it, counted once it leads to the root that it signed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from icrstore.monitor.reading import Fetch, NotProven, read_new, source_of
from icrstore.seal.epoch import Role
from icrstore.warrant.strict import time_text
from icrstore.warrant.trust import Trust


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
    """Fetch all of a log of a keeper of that role, and check it. Raises `NotProven`."""
    whose, source = source_of(fetch, trust, origin)
    if whose != role:
        raise NotProven("it is of no keeper that the trust file names")
    followed, leaves = read_new(source, None)
    return ReadLog(
        role=role,
        origin=origin,
        size=followed.seen.checkpoint.size,
        cosigned_at=datetime.fromtimestamp(followed.cosigned_at, UTC),
        leaves=Counter(leaf.type for leaf in leaves),
        due=sum(leaf.due != "-" for leaf in leaves),
    )
