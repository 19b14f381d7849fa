"""The logs: leaves, the hashes above them, and how many each subject has."""

from collections.abc import Iterable

from icrstore.keeper.store import Connection


def leaf(tx: Connection, tenant_name: str, number: int) -> tuple[bytes, bytes]:
    """A leaf's text and its locked private part."""
    text, private = tx.execute(
        "SELECT text, private FROM leaf WHERE tenant = ? AND number = ?", (tenant_name, number)
    ).fetchone()
    return text, private


def leaf_texts(tx: Connection, tenant_name: str, first: int, count: int) -> list[bytes]:
    rows = tx.execute(
        "SELECT text FROM leaf WHERE tenant = ? AND number >= ? ORDER BY number LIMIT ?",
        (tenant_name, first, count),
    )
    return [row[0] for row in rows]


def add_leaf(tx: Connection, tenant_name: str, number: int, text: bytes, private: bytes) -> None:
    tx.execute("INSERT INTO leaf VALUES (?, ?, ?, ?)", (tenant_name, number, text, private))
    tx.execute("UPDATE tenant SET size = ? WHERE name = ?", (number + 1, tenant_name))


def node(tx: Connection, tenant_name: str, level: int, number: int) -> bytes:
    """The hash of a complete subtree."""
    row = tx.execute(
        "SELECT hash FROM node WHERE tenant = ? AND level = ? AND number = ?",
        (tenant_name, level, number),
    ).fetchone()
    return bytes(row[0])


def add_nodes(tx: Connection, tenant_name: str, nodes: Iterable[tuple[int, int, bytes]]) -> None:
    tx.executemany("INSERT INTO node VALUES (?, ?, ?, ?)", [(tenant_name, *made) for made in nodes])


def next_tag_number(tx: Connection, tenant_name: str, subject: bytes, first: int) -> int:
    """``first``, or one more than this subject's last."""
    row = tx.execute(
        "INSERT INTO subject VALUES (?1, ?2, ?3 + 1)"
        " ON CONFLICT DO UPDATE SET leaves = max(leaves, ?3) + 1 RETURNING leaves",
        (tenant_name, subject, first),
    ).fetchone()
    return int(row[0]) - 1
