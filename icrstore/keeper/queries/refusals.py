"""What was refused: to engines, one leaf each; to strangers, a count."""

from icrstore.keeper.store import Connection


def add_refusal(tx: Connection, tenant_name: str, request_sha256: bytes, code: str) -> bool:
    """Whether this refusal is a new one."""
    made = tx.execute(
        "INSERT OR IGNORE INTO refusal VALUES (?, ?, ?)", (tenant_name, request_sha256, code)
    )
    return made.rowcount == 1


def was_refused(tx: Connection, tenant_name: str, request_sha256: bytes, code: str) -> bool:
    found = tx.execute(
        "SELECT 1 FROM refusal WHERE tenant = ? AND request_sha256 = ? AND code = ?",
        (tenant_name, request_sha256, code),
    )
    return found.fetchone() is not None


def count_strangers(tx: Connection, code: str, refused: int) -> None:
    tx.execute(
        "INSERT INTO stranger VALUES (?1, ?2) ON CONFLICT DO UPDATE SET refused = refused + ?2",
        (code, refused),
    )


def strangers(tx: Connection) -> dict[str, int]:
    return dict(tx.execute("SELECT code, refused FROM stranger ORDER BY code").fetchall())
