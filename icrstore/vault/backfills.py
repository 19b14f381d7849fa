"""Old hours that a collector may bring in, because the tenant's root said so and the keepers know.

The database only says which policies to ask the keepers for, at every look: who writes it lets
nobody in. What a keeper that is down may have logged waits, since what is rejected once stays so;
so does what one refuses for a reason that may pass: its clock, a quarantine, a key that it does not
know.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from accounts.models import Policy
from accounts.policies import SOONEST, policies_of, read_backfill
from icrstore.flow.validate import Span
from icrstore.inbox.models import Batch
from icrstore.keeper.client import Keeper
from icrstore.seal.epoch import HOUR, first_living
from icrstore.vault.keyring import SealerKeys
from icrstore.vault.policies import LOGGED, hand_in
from icrstore.warrant.backfill import Backfill

# Refused for ever: the tenant's root did not sign it, or its time is over.
_NONE = {"refused: not-signed", "refused: bad-signature", "refused: expired"}


@dataclass(frozen=True)
class Backfills:
    """By collector's name: hours that are sealed, and hours of which a keeper has yet to say."""

    logged: Mapping[str, Sequence[Span]] = field(default_factory=dict)
    awaited: Mapping[str, Sequence[Span]] = field(default_factory=dict)

    def of(self, batch: Batch) -> Sequence[Span]:
        return self.logged.get(batch.collector.name, ())

    def must_wait(self, batch: Batch) -> bool:
        """Whether any hour of the batch's scope is still awaited."""
        return any(
            batch.first_hour < end and first < batch.last_hour + HOUR
            for first, end in self.awaited.get(batch.collector.name, ())
        )


def backfills_of(
    tenant: str, keys: SealerKeys, keepers: Sequence[Keeper], now: datetime
) -> Backfills:
    """What each keeper says now. A policy that ends within ``SOONEST`` seals nothing more: the
    keepers must have its epochs by then."""
    made: dict[str, dict[str, list[Span]]] = {"logged": {}, "awaited": {}}
    for row, policy in _living(tenant, now):
        said = hand_in(row, keys, keepers, is_asked_anew=True)
        if not _NONE.isdisjoint(said):
            continue
        is_logged = all(word == LOGGED for word in said)
        span = max(policy.hours.first, first_living(now)), policy.hours.end
        made["logged" if is_logged else "awaited"].setdefault(policy.collector, []).append(span)
    return Backfills(**made)


def _living(tenant: str, now: datetime) -> Iterable[tuple[Policy, Backfill]]:
    for row in policies_of(tenant, "backfill"):
        policy = read_backfill(row)
        if policy is not None and policy.valid_to > now + SOONEST:
            yield row, policy
