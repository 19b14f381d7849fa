"""The keeper's clock: what it is checked by before anything is logged, lent or destroyed.

A clock that runs ahead destroys days that should live, and one that is set back lets expired days
and warrants live again. So it is never before the last leaf, at most LONGEST_SILENCE after it, and
it goes on as the kernel's boot clock does, which nobody can set. More than TRUSTED_AHEAD after it
was last known to be right, and from each boot of the host on, it is *doubtful*: leaves are written,
but nothing is destroyed and no share is lent until the peer has cosigned a checkpoint at a time
that agrees within AGREEMENT.
Beyond the silence somebody must look at another clock and confirm this one (`recovery.confirm`).
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from icrstore.keeper import queries
from icrstore.keeper.errors import Refused
from icrstore.keeper.queries import ClockRow
from icrstore.keeper.store import Connection
from icrstore.warrant.authority import SKEW

LONGEST_SILENCE = timedelta(hours=96)
# A day and some: every day at midnight a keeper writes the certificate of the day that expired.
TRUSTED_AHEAD = timedelta(hours=26)
AGREEMENT = SKEW
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Boot:
    """Which boot of the host this is, and for how many seconds it lasts (sleep counts too)."""

    name: str
    seconds: int


def utc_now() -> datetime:
    return datetime.now(UTC)


def this_boot() -> Boot:
    return Boot(_boot_name(), int(time.clock_gettime(time.CLOCK_BOOTTIME)))


@cache
def _boot_name() -> str:
    """No process outlives a boot."""
    return _BOOT_ID.read_text().strip()


def check(held: ClockRow | None, now: datetime, boot: Boot) -> None:
    """Raises Refused(clock-behind, clock-ahead, clock-stepped)."""
    check_not_behind(held, now)
    if held is None:
        return
    since_leaf = int(now.timestamp()) - held.last_leaf_at
    if since_leaf > LONGEST_SILENCE.total_seconds():
        raise Refused("clock-ahead", 503)
    # NTP steers both clocks alike; a step moves only the one that can be set.
    if boot.name == held.boot and not _agree(since_leaf, boot.seconds - held.boot_seconds):
        raise Refused("clock-stepped", 503)


def check_not_behind(held: ClockRow | None, now: datetime) -> None:
    """Nothing is logged as earlier than what was logged before it. Raises Refused(clock-behind)."""
    if held is not None and int(now.timestamp()) < held.last_leaf_at:
        raise Refused("clock-behind", 503)


def is_trusted(held: ClockRow | None, now: datetime, boot: Boot) -> bool:
    """A host that starts takes its time from a battery, or from whoever answers first."""
    if held is None:
        return True
    ahead = int(TRUSTED_AHEAD.total_seconds())
    return held.boot in ("", boot.name) and int(now.timestamp()) - held.trusted_at <= ahead


def note(tx: Connection, now: datetime, boot: Boot) -> None:
    """If the last leaf is of this very second, the next moment is measured from it.

    A leaf that a doubtful clock wrote takes no doubt away.
    """
    after = queries.clock(tx)
    if after is None or after.last_leaf_at != int(now.timestamp()):
        return
    queries.set_boot(tx, boot.name, boot.seconds)
    if is_trusted(after, now, boot):
        queries.trust_clock(tx, int(now.timestamp()))
    else:
        doubt(tx)


def doubt(tx: Connection) -> None:
    """Nothing is destroyed or lent from now on until the peer's clock agrees."""
    queries.trust_clock(tx, 0)


def agree(tx: Connection, now: datetime, boot: Boot, cosigned_at: int) -> bool:
    """Whether the peer's clock, when it cosigned, agrees with ours; ours is trusted from now on."""
    unix_seconds = int(now.timestamp())
    if not _agree(unix_seconds, cosigned_at):
        return False
    queries.trust_clock(tx, unix_seconds)
    held = queries.clock(tx)
    if held is not None:
        # As if this boot had lasted for so long at the last leaf, and before it if need be.
        queries.set_boot(tx, boot.name, boot.seconds - (unix_seconds - held.last_leaf_at))
    return True


def _agree(one_seconds: int, other_seconds: int) -> bool:
    return abs(one_seconds - other_seconds) <= AGREEMENT.total_seconds()
