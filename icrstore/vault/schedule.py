"""The keepers' public day keys: signed by each keeper, checked against its pinned identity.

Kept in the sealer's secrets folder, so that a keeper that is down for a while stops no sealing.
Not in the database: who could write another's keys there would have every record sealed to them.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from icrstore.keeper.client import Keeper
from icrstore.seal.epoch import Role
from icrstore.vault.files import replace_file
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import KeySchedule
from icrstore.warrant.strict import StatementError

# Fetched at once: the days of late records, and some ahead in case a keeper is down.
BEHIND, AHEAD = timedelta(days=4), timedelta(days=7)


@dataclass(frozen=True)
class DayKeys:
    folder: Path
    keepers: tuple[Keeper, ...]

    def of(self, tenant: str, day: str) -> dict[tuple[Role, int], bytes]:
        """The public day key of every keeper instance (1,216 bytes each).

        Raises what the keeper's client raises where a key is neither kept nor to be had.
        """
        return {
            (keeper.role, keeper.identity.instance): self._key(keeper, tenant, day)
            for keeper in self.keepers
        }

    def _key(self, keeper: Keeper, tenant: str, day: str) -> bytes:
        kept = self._kept(keeper, tenant)
        if kept is None or day not in kept.days:
            kept = self._fetch(keeper, tenant, date.fromisoformat(day), kept)
        if day not in kept.days:
            raise keeper.untrue("key-schedule")
        return kept.days[day]

    def _kept(self, keeper: Keeper, tenant: str) -> KeySchedule | None:
        """The schedule on file, if it is there and this keeper's own."""
        path = self._path(keeper, tenant)
        if not path.exists():
            return None
        try:
            envelope = Envelope.parse(path.read_bytes(), "key-schedule")
            envelope.verify(keeper.identity.identity_key)
            schedule = KeySchedule.parse(envelope)
        except StatementError:
            return None  # another keeper's, from before a change of pins: fetched anew
        return schedule if schedule.tenant == tenant else None

    def _fetch(
        self, keeper: Keeper, tenant: str, day: date, kept: KeySchedule | None
    ) -> KeySchedule:
        first, last = (day - BEHIND).isoformat(), (day + AHEAD).isoformat()
        envelope = keeper.key_schedule(tenant, first, last)
        fetched = KeySchedule.parse(envelope)
        # The days of a backfill are no reason to be without today's where a keeper is down.
        if kept is None or max(kept.days) <= max(fetched.days):
            replace_file(self._path(keeper, tenant), envelope.encode())
        return fetched

    def _path(self, keeper: Keeper, tenant: str) -> Path:
        # A tenant's name may hold what a file's name may not.
        place = f"{keeper.role}-{keeper.identity.instance}-{tenant.encode().hex()}"
        return self.folder / f"days-{place}.json"
