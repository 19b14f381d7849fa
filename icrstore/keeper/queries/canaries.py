"""Accounts that nobody has, by the MACs under which they are kept."""

from icrstore.keeper.store import Connection


def is_canary(tx: Connection, tenant_name: str, mac: bytes) -> bool:
    found = tx.execute("SELECT 1 FROM canary WHERE tenant = ? AND mac = ?", (tenant_name, mac))
    return found.fetchone() is not None


def add_canary(tx: Connection, tenant_name: str, mac: bytes) -> bool:
    """Whether it is a new one."""
    made = tx.execute("INSERT OR IGNORE INTO canary VALUES (?, ?)", (tenant_name, mac))
    return made.rowcount == 1


def canaries(tx: Connection, tenant_name: str) -> int:
    """How many there are."""
    row = tx.execute("SELECT count(*) FROM canary WHERE tenant = ?", (tenant_name,)).fetchone()
    return int(row[0])
