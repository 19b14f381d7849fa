"""Keys that the root which granted them has taken back."""

from icrstore.keeper.store import Connection


def revoked_by(tx: Connection, tenant_name: str, root: bytes) -> set[bytes]:
    """The keys that a root revoked."""
    rows = tx.execute(
        "SELECT key FROM revocation WHERE tenant = ? AND root = ?", (tenant_name, root)
    )
    return {row[0] for row in rows}


def revocations(tx: Connection) -> list[tuple[str, bytes, bytes]]:
    """Tenant, root and key of each."""
    return tx.execute("SELECT tenant, root, key FROM revocation ORDER BY 1, 2, 3").fetchall()


def add_revocation(tx: Connection, tenant_name: str, root: bytes, key: bytes) -> bool:
    """Whether it is a new one."""
    made = tx.execute("INSERT OR IGNORE INTO revocation VALUES (?, ?, ?)", (tenant_name, root, key))
    return made.rowcount == 1
