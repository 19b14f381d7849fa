"""Day keys: the key pair of each UTC day, to which epochs are sealed, and the key atoms rest under.

The 96 private bytes are the seed of the day, locked under kek[D + 364], so they open until the end
of day D + 364 and never after. A random key of the day, locked under a key of the seed, is what
atoms are locked under.
"""

import os
from datetime import date, timedelta
from functools import cached_property

from icrstore.keeper import queries
from icrstore.keeper.errors import DayGone, Refused
from icrstore.keeper.keys import Chain
from icrstore.keeper.locked import lock, unlock
from icrstore.keeper.queries import DayRow, EpochRow
from icrstore.keeper.store import Connection
from icrstore.seal.encode import enc, prf, text
from icrstore.seal.epoch import LIFE_DAYS, Role
from icrstore.wire import hpke

DAYS_AHEAD = 35


class OpenDay:
    """One day of one tenant with its secrets, in memory for as long as one call takes."""

    def __init__(self, tenant: str, row: DayRow, chain: Chain) -> None:
        """Raises `DayGone`."""
        day = date.fromisoformat(row.day)
        self.seed = unlock(chain.wrapping_key(day), _place("day-seed", tenant, row.day), row.seed)
        wrap = prf(self.seed, "day-wrap")
        self.day_key = unlock(wrap, _place("day-key", tenant, row.day), row.day_key)

    @cached_property
    def private_key(self) -> hpke.PrivateKey:
        return hpke.PrivateKey(self.seed)

    def lock_atom(self, eid: bytes, role: Role, atom: bytes) -> bytes:
        return lock(self.day_key, _atom_place(eid, role), atom)

    def unlock_atom(self, epoch: EpochRow, role: Role) -> bytes:
        return unlock(self.day_key, _atom_place(epoch.eid, role), epoch.atom)


class OpenDays:
    """The days of one tenant, each opened once."""

    def __init__(self, tx: Connection, tenant: str, chain: Chain) -> None:
        self._tx, self._tenant = tx, tenant
        self._chain = self._walked = chain
        self._opened: dict[str, OpenDay] = {}

    def open(self, day: str) -> OpenDay:
        """Raises Refused(expired-day, no-day-key)."""
        if day not in self._opened:
            self._opened[day] = self._open(day)
        return self._opened[day]

    def _open(self, day: str) -> OpenDay:
        rows = queries.days(self._tx, self._tenant, day, day)
        if not rows:
            raise Refused("no-day-key")
        try:
            return OpenDay(self._tenant, rows[0], self._walk_to(date.fromisoformat(day)))
        except DayGone:
            raise Refused("expired-day") from None

    def _walk_to(self, day: date) -> Chain:
        """The chain at what wraps a day's seed. It walks with the days, which mostly come in order:
        from its start for each, a year would be 66,000 links."""
        wrapped = day + timedelta(days=LIFE_DAYS)
        before = self._walked if self._walked.day <= wrapped else self._chain
        self._walked = before.advance(wrapped)
        return self._walked


def top_up(tx: Connection, tenant: str, chain: Chain, today: date) -> None:
    """Make the keys that are missing of the days from today - 364 to today + 35."""
    # A clock that was set back over midnight is behind the chain, which never goes back.
    today = max(today, chain.day)
    first, last = today - timedelta(days=LIFE_DAYS), today + timedelta(days=DAYS_AHEAD)
    held = {row.day for row in queries.days(tx, tenant, first.isoformat(), last.isoformat())}
    for ahead in range(LIFE_DAYS + DAYS_AHEAD + 1):
        day = first + timedelta(days=ahead)
        # The chain walks with the days: from its start for each would be 400 times as long.
        chain = chain.advance(day + timedelta(days=LIFE_DAYS))
        if day.isoformat() not in held:
            queries.add_day(tx, tenant, _make(tenant, day, chain.link))


def _make(tenant: str, day: date, wrapping_key: bytes) -> DayRow:
    key = hpke.PrivateKey.generate()
    seed, name = key.private_bytes(), day.isoformat()
    locked_seed = lock(wrapping_key, _place("day-seed", tenant, name), seed)
    wrap = prf(seed, "day-wrap")
    day_key = lock(wrap, _place("day-key", tenant, name), os.urandom(32))
    return DayRow(name, key.public_bytes(), locked_seed, day_key)


def _place(label: str, tenant: str, day: str) -> bytes:
    return enc(b"icr/v1/" + label.encode("ascii"), text(tenant), day.encode("ascii"))


def _atom_place(eid: bytes, role: Role) -> bytes:
    return enc(b"icr/v1/atom", eid, role.encode("ascii"))
