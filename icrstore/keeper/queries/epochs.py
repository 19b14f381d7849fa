"""The epochs that were registered, and the policies that they were sealed by."""

from dataclasses import dataclass

from icrstore.keeper.store import Connection


@dataclass(frozen=True)
class EpochRow:
    eid: bytes
    hour: int
    shard: int
    statement_sha256: bytes
    atom: bytes


def policies(tx: Connection, tenant_name: str) -> list[bytes]:
    """The pool policies of a tenant, as they were signed, by the hour from which they hold."""
    rows = tx.execute(
        "SELECT statement FROM policy WHERE tenant = ? ORDER BY effective", (tenant_name,)
    )
    return [row[0] for row in rows]


def last_epoch_hour(tx: Connection, tenant_name: str) -> int:
    """The last hour of which an epoch is logged, in Unix seconds; -1 before the first."""
    row = tx.execute(
        "SELECT coalesce(max(hour), -1) FROM epoch WHERE tenant = ?", (tenant_name,)
    ).fetchone()
    return int(row[0])


def add_policy(tx: Connection, tenant_name: str, effective: int, statement: bytes) -> None:
    tx.execute("INSERT INTO policy VALUES (?, ?, ?)", (tenant_name, effective, statement))


def epoch_statement_sha256(tx: Connection, eid: bytes) -> bytes | None:
    row = tx.execute("SELECT statement_sha256 FROM epoch WHERE eid = ?", (eid,)).fetchone()
    return row[0] if row else None


def add_epoch(tx: Connection, tenant_name: str, made: EpochRow) -> None:
    tx.execute(
        "INSERT INTO epoch (tenant, eid, hour, shard, statement_sha256, atom)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (tenant_name, made.eid, made.hour, made.shard, made.statement_sha256, made.atom),
    )


def epochs_of_hours(tx: Connection, tenant_name: str, first: int, end: int) -> list[EpochRow]:
    """The epochs of the hours from ``first`` to before ``end`` (Unix seconds), by (hour, eid)."""
    rows = tx.execute(
        "SELECT eid, hour, shard, statement_sha256, atom FROM epoch"
        " WHERE tenant = ? AND hour >= ? AND hour < ? ORDER BY hour, eid",
        (tenant_name, first, end),
    )
    return [EpochRow(*row) for row in rows]


def epochs_of_request(tx: Connection, request_sha256: bytes) -> list[EpochRow]:
    """The epochs that were fixed at the commit, in their order."""
    rows = tx.execute(
        "SELECT e.eid, e.hour, e.shard, e.statement_sha256, e.atom FROM request_epoch AS r"
        " JOIN epoch AS e USING (eid) WHERE r.request_sha256 = ? ORDER BY r.position",
        (request_sha256,),
    )
    return [EpochRow(*row) for row in rows]
