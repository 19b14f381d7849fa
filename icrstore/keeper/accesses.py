"""Who asked and who was refused, by this keeper's own private texts: nobody elsewhere can hide it.

Whom it was about is not in it.
"""

from typing import Any

from icrstore.keeper import queries, salvage
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.leaves import LeafText
from icrstore.keeper.ledger import Ledger
from icrstore.warrant.strict import parse_object

COLUMNS = ("tenant", "leaf", "day", "type", "request_sha256", "warrant_sha256", "authority", "code")
_ASKED = ("commit", "release", "expired", "disclosure", "refusal")


def asked_of(keeper: Keeper) -> list[dict[str, Any]]:
    """Every commit, release, expiry, disclosure and refusal of every tenant, in the logs' order; of
    those that lost their text, no more than that they are there."""
    rows = []
    with keeper.store.read() as tx:
        for tenant in queries.tenants(tx):
            ledger = Ledger(tx, keeper.identity, tenant)
            lost = salvage.lost_leaves(tx, tenant.name)
            for number, text in enumerate(queries.leaf_texts(tx, tenant.name, 0, tenant.size)):
                lines = LeafText.parse(text.decode())
                if lines.type in _ASKED and number in lost:
                    named = {"tenant": tenant.name, "type": lines.type}
                    rows.append({**named, "leaf": number, "day": lines.day})
                elif lines.type in _ASKED:
                    (leaf,) = ledger.leaves(number, 1)
                    said = parse_object(leaf.private.encode())
                    told = {name: said[name] for name in COLUMNS if name in said}
                    rows.append({**told, "leaf": number, "day": lines.day})
    return rows
