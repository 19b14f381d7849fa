"""One tenant's log as `fsck` walks it: what it has read so far, for the checks that follow."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from icrstore.keeper.errors import KeeperError
from icrstore.keeper.keys import Identity
from icrstore.keeper.leaves import Leaf
from icrstore.keeper.ledger import Ledger
from icrstore.keeper.queries import Tenant
from icrstore.keeper.store import Connection

TOLD_EVERY = 10_000


@dataclass
class Walked:
    """``types`` counts the leaves that have their private text, ``rights`` are the texts of those
    of a type that say who is trusted, ``eids`` maps the epochs among them
    to the digest of their statement, ``accounts`` maps leaves to whose they are where that is
    known, and ``shredded`` is how many epochs the certificates speak of."""

    tx: Connection
    identity: Identity
    tenant: Tenant
    lost: set[int]
    progress: Callable[[str], None]
    types: Counter[str] = field(default_factory=Counter)
    eids: dict[str, str] = field(default_factory=dict)
    rights: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    accounts: dict[int, bytes] = field(default_factory=dict)
    shredded: int = 0

    @property
    def name(self) -> str:
        return self.tenant.name

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.tx, self.identity, self.tenant)

    def leaf(self, number: int) -> Leaf | None:
        """A leaf with its private text; None where that is lost or does not open."""
        try:
            return self.ledger.leaves(number, 1)[0]
        except (KeeperError, TypeError, ValueError):
            return None

    def tell(self, count: int, what: str) -> None:
        if count % TOLD_EVERY == 0:
            self.progress(f"{self.name}: {count} of {self.tenant.size} leaves {what}")
