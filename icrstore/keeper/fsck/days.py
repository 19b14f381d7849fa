"""Days and epochs: every key that should open does, and every epoch is one that was logged."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from icrstore.keeper import queries
from icrstore.keeper.days import OpenDays
from icrstore.keeper.errors import KeeperError
from icrstore.keeper.fsck.walked import Walked
from icrstore.keeper.keys import Chain
from icrstore.keeper.queries import EpochRow
from icrstore.seal.epoch import LIFE_DAYS, day_of


def days(walked: Walked, chain: Chain) -> Iterator[str]:
    """What had expired by the chain's day waits for the keeper's upkeep, and opens to nobody."""
    opened = OpenDays(walked.tx, walked.name, chain)
    first = chain.day - timedelta(days=LIFE_DAYS)
    for row in queries.days(walked.tx, walked.name, first.isoformat(), "9999"):
        try:
            if opened.open(row.day).private_key.public_bytes() != row.public:
                yield f"day {row.day}: another key is published"
        except (KeeperError, ValueError):
            yield f"day {row.day}: its key does not open"
    for epoch in queries.epochs_of_hours(walked.tx, walked.name, 0, 1 << 40):
        yield from _epoch(walked, opened, epoch, first)


def _epoch(walked: Walked, opened: OpenDays, epoch: EpochRow, first: date) -> Iterator[str]:
    place, day = f"epoch {epoch.eid.hex()}", day_of(datetime.fromtimestamp(epoch.hour, UTC))
    if walked.eids.get(epoch.eid.hex()) != epoch.statement_sha256.hex():
        yield f"{place}: not as it was logged"
    if date.fromisoformat(day) < first:
        return
    try:
        opened.open(day).unlock_atom(epoch, walked.identity.role)
    except (KeeperError, ValueError):
        yield f"{place}: its atom does not open"
