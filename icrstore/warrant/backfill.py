"""Backfill: a policy by which a tenant's root lets one collector bring in hours that are long over.

Without one, sealers reject records more than 48 hours late, and keepers refuse the epochs of hours
more than 96 hours old: a sealer host's stolen key plants nothing older.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import MOST_HOURS, HourRange, PoolPolicy
from icrstore.warrant.strict import StatementError, time_text

# What is signed once and forgotten must not open the past for years.
LONGEST = timedelta(days=31)


@dataclass(frozen=True)
class Backfill:
    """``hours`` of ``collector`` are sealed and logged until ``valid_to``."""

    tenant: str
    collector: str
    hours: HourRange
    valid_to: datetime

    @classmethod
    def parse(cls, envelope: Envelope) -> "Backfill":
        fields = envelope.fields()
        fields.one_of("about", ("backfill",))
        made = cls(
            tenant=fields.text("tenant", 64),
            collector=fields.text("collector", 64),
            hours=HourRange(fields.hour("from"), fields.hour("to")),
            valid_to=fields.time("valid_to"),
        )
        fields.finish()
        if made.hours.end <= made.hours.first:
            raise StatementError("ends-before-it-begins", "to")
        if made.hours.end - made.hours.first > timedelta(hours=MOST_HOURS):
            raise StatementError("too-many-hours", "to")
        return made

    def check_valid(self, now: datetime) -> None:
        """Raises `StatementError` once it is over, and for one that would hold for too long."""
        if now >= self.valid_to:
            raise StatementError("expired", "valid_to")
        if self.valid_to > now + LONGEST:
            raise StatementError("valid-too-long", "valid_to")

    def to_fields(self) -> dict[str, Any]:
        return {
            "v": 1,
            "about": "backfill",
            "tenant": self.tenant,
            "collector": self.collector,
            **self.hours.to_fields(),
            "valid_to": time_text(self.valid_to),
        }


def read_policy(envelope: Envelope) -> PoolPolicy | Backfill:
    """A policy, whatever it is about. Raises `StatementError`; checks no signature."""
    about = envelope.fields().one_of("about", ("pools", "backfill"))
    return PoolPolicy.parse(envelope) if about == "pools" else Backfill.parse(envelope)
