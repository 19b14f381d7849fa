"""What quarantine and recovery ask of the store and change in it, by name; as `queries`."""

from dataclasses import dataclass
from datetime import datetime

from icrstore.keeper.errors import Refused
from icrstore.keeper.store import Connection


@dataclass(frozen=True)
class Evidence:
    """A checkpoint of ours that our log does not hold, as it was shown to us."""

    origin: str
    note: bytes
    shown_at: int


@dataclass(frozen=True)
class Recovered:
    """The last time that a log was put right: by which leaf, when (Unix seconds), and how many
    leaves of questions had lost their private text by then."""

    leaf: int
    at: int
    questions: int


def is_quarantined(tx: Connection) -> bool:
    row = tx.execute("SELECT 1 FROM quarantine WHERE ended_at IS NULL LIMIT 1").fetchone()
    return row is not None


def quarantines(tx: Connection) -> list[Evidence]:
    """What keeps this keeper in quarantine; nothing where it is in none."""
    rows = tx.execute(
        "SELECT origin, note, shown_at FROM quarantine WHERE ended_at IS NULL ORDER BY origin"
    )
    return [Evidence(*row) for row in rows]


def quarantine(tx: Connection, made: Evidence) -> None:
    """One checkpoint for each log is kept: strangers cannot fill the store with more of them. One
    that was evidence before is so again."""
    tx.execute(
        "INSERT OR REPLACE INTO quarantine (origin, note, shown_at) SELECT ?1, ?2, ?3"
        " WHERE NOT EXISTS (SELECT 1 FROM quarantine WHERE origin = ?1 AND ended_at IS NULL)",
        (made.origin, made.note, made.shown_at),
    )


def end_quarantine(tx: Connection, unix_seconds: int) -> None:
    """The checkpoints stay, as evidence."""
    tx.execute("UPDATE quarantine SET ended_at = ? WHERE ended_at IS NULL", (unix_seconds,))


def is_given_up(tx: Connection, origin: str) -> bool:
    """Of a log that has no tenant: whether a quarantine over it has ended."""
    row = tx.execute(
        "SELECT 1 FROM quarantine WHERE origin = ? AND ended_at IS NOT NULL LIMIT 1", (origin,)
    ).fetchone()
    return row is not None


def recovered(tx: Connection, tenant: str) -> list[Recovered]:
    """Every time that a log was put right, the first one first."""
    rows = tx.execute(
        "SELECT leaf, at, questions FROM recovered WHERE tenant = ? ORDER BY leaf", (tenant,)
    )
    return [Recovered(*row) for row in rows]


def check_request_known(tx: Connection, tenant: str, commit_leaf: int) -> None:
    """What became of a question that was put before leaves of questions lost their text, nobody
    knows any more. Raises Refused(before-recovery)."""
    if any(one.questions and commit_leaf < one.leaf for one in recovered(tx, tenant)):
        raise Refused("before-recovery")


def check_warrant_known(tx: Connection, tenant: str, valid_from: datetime) -> None:
    """A warrant that was valid before then may have been used: neither how often nor for what is
    known. Raises Refused(before-recovery)."""
    lost_at = [one.at for one in recovered(tx, tenant) if one.questions]
    if lost_at and valid_from.timestamp() < lost_at[-1]:
        raise Refused("before-recovery")


def add_recovered(tx: Connection, tenant: str, made: Recovered) -> None:
    row = (tenant, made.leaf, made.at, made.questions)
    tx.execute("INSERT INTO recovered VALUES (?, ?, ?, ?)", row)


def add_lost(
    tx: Connection, tenant: str, leaf: int, private_sha256: bytes, type_: str, day: str
) -> None:
    row = (tenant, leaf, private_sha256, type_, day)
    tx.execute("INSERT INTO lost VALUES (?, ?, ?, ?, ?)", row)


def lost_leaves(tx: Connection, tenant: str) -> set[int]:
    return {row[0] for row in tx.execute("SELECT leaf FROM lost WHERE tenant = ?", (tenant,))}


def lost_with(tx: Connection, tenant: str, private_sha256: bytes) -> int | None:
    """The leaf that lost a private text of this digest."""
    row = tx.execute(
        "SELECT leaf FROM lost WHERE tenant = ? AND private_sha256 = ? ORDER BY leaf LIMIT 1",
        (tenant, private_sha256),
    ).fetchone()
    return row[0] if row else None


def lost_days(tx: Connection, tenant: str, type_: str) -> tuple[str, str] | None:
    """The first and the last day of a type's leaves without private text, if there are any."""
    row = tx.execute(
        "SELECT min(day), max(day) FROM lost WHERE tenant = ? AND type = ?", (tenant, type_)
    ).fetchone()
    return (row[0], row[1]) if row[0] else None


def lost_commits(tx: Connection, tenant: str, day: str) -> int:
    """How many commit leaves of a day nobody knows the askers of."""
    row = tx.execute(
        "SELECT count(*) FROM lost WHERE tenant = ? AND type = 'commit' AND day = ?", (tenant, day)
    ).fetchone()
    return int(row[0])


def may_have_ended(tx: Connection, tenant: str, commit_leaf: int) -> bool:
    """Whether the release or the end of a question that is open here may be among the leaves that
    lost their text."""
    row = tx.execute(
        "SELECT 1 FROM lost WHERE tenant = ? AND type IN ('release', 'expired') AND leaf > ?"
        " LIMIT 1",
        (tenant, commit_leaf),
    ).fetchone()
    return row is not None


def restore_private(tx: Connection, tenant: str, leaf: int, private: bytes) -> None:
    """Give a leaf its private text (locked) again."""
    where = (tenant, leaf)
    tx.execute("UPDATE leaf SET private = ? WHERE tenant = ? AND number = ?", (private, *where))
    tx.execute("DELETE FROM lost WHERE tenant = ? AND leaf = ?", where)


def cut_log(tx: Connection, tenant: str, size: int) -> None:
    """Take away the leaves from ``size`` on, with every node above them, and what hangs on them.

    Only of a log that the peer never cosigned so far: nothing was ever lent by these leaves.
    """
    where = (tenant, size)
    tx.execute("DELETE FROM debt WHERE tenant = ? AND leaf >= ?", where)
    _renumber_debts(tx, tenant)
    tx.execute("UPDATE debt SET notice = NULL WHERE tenant = ? AND notice >= ?", where)
    tx.execute("DELETE FROM shred WHERE tenant = ? AND leaf >= ?", where)
    asked_since = "SELECT sha256 FROM request WHERE tenant = ? AND commit_leaf >= ?"
    for table in ("request_epoch", "asker"):
        tx.execute(f"DELETE FROM {table} WHERE request_sha256 IN ({asked_since})", where)  # noqa: S608 - ours
    tx.execute("DELETE FROM request WHERE tenant = ? AND commit_leaf >= ?", where)
    undisclosed = "answer_sha256 = NULL, disclosed = NULL, disclosure_leaf = NULL"
    tx.execute(
        f"UPDATE request SET state = 'released', {undisclosed}"  # noqa: S608 - ours
        " WHERE tenant = ? AND disclosure_leaf >= ?",
        where,
    )
    tx.execute(
        "UPDATE request SET state = 'committed', released_at = NULL, release_leaf = NULL,"
        " lent_at = NULL WHERE tenant = ? AND release_leaf >= ?",
        where,
    )
    tx.execute("DELETE FROM lost WHERE tenant = ? AND leaf >= ?", where)
    tx.execute("UPDATE subject SET leaves = min(leaves, ?2) WHERE tenant = ?1", where)
    tx.execute("DELETE FROM leaf WHERE tenant = ? AND number >= ?", where)
    tx.execute("DELETE FROM node WHERE tenant = ? AND (number + 1) << level > ?", where)
    tx.execute("UPDATE tenant SET size = ? WHERE name = ?", (size, tenant))


def _renumber_debts(tx: Connection, tenant: str) -> None:
    """1, 2, .. as before, without those that went: one of a leaf that stays may have come after."""
    rows = tx.execute("SELECT number FROM debt WHERE tenant = ? ORDER BY number", (tenant,))
    numbers = enumerate([row[0] for row in rows], 1)
    moved = [(new, tenant, old) for new, old in numbers if new != old]
    # The lowest first: the number that each takes is free by then.
    tx.executemany("UPDATE debt SET number = ? WHERE tenant = ? AND number = ?", moved)
