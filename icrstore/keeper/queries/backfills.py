"""The hours that a tenant's root let be registered late."""

from icrstore.keeper.store import Connection


def add_backfill(
    tx: Connection, tenant_name: str, sha256: bytes, first: int, end: int, valid_to: int
) -> bool:
    """Hours from ``first`` to before ``end`` (Unix seconds); whether it is a new policy."""
    made = tx.execute(
        "INSERT OR IGNORE INTO backfill VALUES (?, ?, ?, ?, ?)",
        (tenant_name, sha256, first, end, valid_to),
    )
    return made.rowcount == 1


def backfills(tx: Connection, tenant_name: str) -> list[tuple[bytes, int, int, int]]:
    """The digest, first hour, end of the last and end of validity of each (Unix seconds)."""
    return tx.execute(
        "SELECT sha256, first, end, valid_to FROM backfill WHERE tenant = ?", (tenant_name,)
    ).fetchall()


def is_backfilled(tx: Connection, tenant_name: str, hour: int, now: int) -> bool:
    """Whether a policy that is valid now covers this hour (Unix seconds both)."""
    found = tx.execute(
        "SELECT 1 FROM backfill WHERE tenant = ? AND first <= ? AND end > ? AND valid_to > ?",
        (tenant_name, hour, hour, now),
    )
    return found.fetchone() is not None
