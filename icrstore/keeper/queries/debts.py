"""Which leaves oblige us to have somebody told."""

from dataclasses import dataclass

from icrstore.keeper.store import Connection


@dataclass(frozen=True)
class DebtRow:
    """A leaf whose account (locked) must be told; ``notice`` is the leaf that says it was."""

    number: int
    leaf: int
    account: bytes
    owed_at: int
    notice: int | None


def add_debt(tx: Connection, tenant_name: str, leaf_number: int, account: bytes, at: int) -> None:
    """Owe a notice of this leaf; one that is owed already stays as it is."""
    tx.execute(
        "INSERT INTO debt (tenant, number, leaf, account, owed_at)"
        " SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4 FROM debt WHERE tenant = ?1"
        " ON CONFLICT (tenant, leaf) DO NOTHING",
        (tenant_name, leaf_number, account, at),
    )


def debts_after(tx: Connection, tenant_name: str, number: int, limit: int) -> list[DebtRow]:
    """What fell due after this number, told or not, in order."""
    rows = tx.execute(
        "SELECT number, leaf, account, owed_at, notice FROM debt"
        " WHERE tenant = ? AND number > ? ORDER BY number LIMIT ?",
        (tenant_name, number, limit),
    )
    return [DebtRow(*row) for row in rows]


def debt_of_leaf(tx: Connection, tenant_name: str, leaf_number: int) -> DebtRow | None:
    row = tx.execute(
        "SELECT number, leaf, account, owed_at, notice FROM debt WHERE tenant = ? AND leaf = ?",
        (tenant_name, leaf_number),
    ).fetchone()
    return DebtRow(*row) if row else None


def mark_told(tx: Connection, tenant_name: str, number: int, notice_leaf: int) -> None:
    tx.execute(
        "UPDATE debt SET notice = ? WHERE tenant = ? AND number = ?",
        (notice_leaf, tenant_name, number),
    )


def debts_untold(tx: Connection, tenant_name: str, before: int) -> int:
    """How many leaves that fell due before a time (Unix seconds) wait for their notice."""
    row = tx.execute(
        "SELECT count(*) FROM debt WHERE tenant = ? AND notice IS NULL AND owed_at < ?",
        (tenant_name, before),
    ).fetchone()
    return int(row[0])
