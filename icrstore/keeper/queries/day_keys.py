"""The keys of the days, and what certifies that they are gone."""

from dataclasses import dataclass

from icrstore.keeper.store import Connection


@dataclass(frozen=True)
class DayRow:
    day: str
    public: bytes
    seed: bytes
    day_key: bytes


def days(tx: Connection, tenant_name: str, first: str, last: str) -> list[DayRow]:
    """A tenant's day keys from one day to another, both included."""
    rows = tx.execute(
        "SELECT day, public, seed, day_key FROM day WHERE tenant = ? AND day BETWEEN ? AND ?"
        " ORDER BY day",
        (tenant_name, first, last),
    )
    return [DayRow(*row) for row in rows]


def add_day(tx: Connection, tenant_name: str, made: DayRow) -> None:
    tx.execute(
        "INSERT INTO day (tenant, day, public, seed, day_key) VALUES (?, ?, ?, ?, ?)",
        (tenant_name, made.day, made.public, made.seed, made.day_key),
    )


def days_before(tx: Connection, tenant_name: str, day: str) -> list[str]:
    """The days before this one whose keys are still here, in order."""
    rows = tx.execute(
        "SELECT day FROM day WHERE tenant = ? AND day < ? ORDER BY day", (tenant_name, day)
    )
    return [row[0] for row in rows]


def destroy_day(tx: Connection, tenant_name: str, day: str) -> int:
    """Remove a day's keys and its epochs with their atoms; how many epochs there were."""
    tx.execute("DELETE FROM day WHERE tenant = ? AND day = ?", (tenant_name, day))
    of_day = "tenant = ? AND hour >= unixepoch(?) AND hour < unixepoch(?, '+1 day')"
    where = (tenant_name, day, day)
    tx.execute(
        f"DELETE FROM request_epoch WHERE eid IN (SELECT eid FROM epoch WHERE {of_day})",  # noqa: S608 - written above
        where,
    )
    return tx.execute(f"DELETE FROM epoch WHERE {of_day}", where).rowcount  # noqa: S608 - ours


def add_shred(tx: Connection, tenant_name: str, day: str, leaf_number: int) -> None:
    tx.execute("INSERT INTO shred VALUES (?, ?, ?)", (tenant_name, day, leaf_number))


def shreds_after(tx: Connection, tenant_name: str, day: str, limit: int) -> list[int]:
    """The leaves that certify the days after this one, in the order of the days."""
    rows = tx.execute(
        "SELECT leaf FROM shred WHERE tenant = ? AND day > ? ORDER BY day LIMIT ?",
        (tenant_name, day, limit),
    )
    return [row[0] for row in rows]
