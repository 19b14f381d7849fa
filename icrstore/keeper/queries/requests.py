"""The requests, their states and the moves between them."""

from collections.abc import Iterable
from dataclasses import dataclass

from icrstore.keeper.errors import KeeperError
from icrstore.keeper.store import Connection

# The states of a request and the moves between them; there are no others.
MOVES = {
    "released": "committed",
    "expired": "committed",
    "disclosed": "released",
}


class StateError(KeeperError):
    """A request was no longer in the state that a move starts from."""


@dataclass(frozen=True)
class RequestRow:
    sha256: bytes
    tenant: str
    warrant_sha256: bytes
    engine: str
    engine_identity: bytes
    engine_key: bytes
    engine_key_ends_at: int
    statements: bytes
    state: str
    selectors: int
    committed_at: int
    commit_leaf: int
    released_at: int | None = None
    release_leaf: int | None = None
    lent_at: int | None = None
    answer_sha256: bytes | None = None
    disclosed: int | None = None
    disclosure_leaf: int | None = None


_REQUEST_COLUMNS = ", ".join(RequestRow.__dataclass_fields__)


def requests_under(tx: Connection, tenant_name: str, warrant_sha256: bytes) -> int:
    """How many questions a warrant has been used for; one that ended unreleased is given back."""
    row = tx.execute(
        "SELECT count(*) FROM request"
        " WHERE tenant = ? AND warrant_sha256 = ? AND state != 'expired'",
        (tenant_name, warrant_sha256),
    ).fetchone()
    return int(row[0])


def request(tx: Connection, sha256: bytes) -> RequestRow | None:
    row = tx.execute(
        f"SELECT {_REQUEST_COLUMNS} FROM request WHERE sha256 = ?",  # noqa: S608 - our own names
        (sha256,),
    ).fetchone()
    return RequestRow(*row) if row else None


def committed_before(tx: Connection, tenant_name: str, unix_seconds: int) -> list[RequestRow]:
    """What was committed before a time and not released, in the order of its leaves."""
    rows = tx.execute(
        f"SELECT {_REQUEST_COLUMNS} FROM request"  # noqa: S608 - our own names
        " WHERE tenant = ? AND state = 'committed' AND committed_at < ? ORDER BY commit_leaf",
        (tenant_name, unix_seconds),
    )
    return [RequestRow(*row) for row in rows]


def add_request(tx: Connection, made: RequestRow, eids: Iterable[bytes]) -> None:
    tx.execute(
        "INSERT INTO request (sha256, tenant, warrant_sha256, engine, engine_identity, engine_key,"
        " engine_key_ends_at, statements, state, selectors, committed_at, commit_leaf)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (made.sha256, made.tenant, made.warrant_sha256, made.engine, made.engine_identity,
         made.engine_key, made.engine_key_ends_at, made.statements, made.state, made.selectors,
         made.committed_at, made.commit_leaf),
    )  # fmt: skip
    tx.executemany(
        "INSERT INTO request_epoch VALUES (?, ?, ?)",
        [(made.sha256, position, eid) for position, eid in enumerate(eids)],
    )


def mark_released(tx: Connection, sha256: bytes, released_at: int, first_leaf: int) -> None:
    _move(tx, sha256, "released", "released_at = ?, release_leaf = ?", released_at, first_leaf)


def mark_expired(tx: Connection, sha256: bytes) -> None:
    _move(tx, sha256, "expired", "released_at = NULL")


def mark_open(tx: Connection, sha256: bytes) -> None:
    """Take an end back, in a recovery alone: its leaf was taken back, too."""
    tx.execute("UPDATE request SET state = 'committed' WHERE sha256 = ?", (sha256,))


def mark_disclosed(
    tx: Connection, sha256: bytes, answer_sha256: bytes, leaves: int, first_leaf: int
) -> None:
    columns = "answer_sha256 = ?, disclosed = ?, disclosure_leaf = ?"
    _move(tx, sha256, "disclosed", columns, answer_sha256, leaves, first_leaf)


def mark_lent(tx: Connection, sha256: bytes, lent_at: int) -> None:
    """Note when shares were first lent."""
    tx.execute(
        "UPDATE request SET lent_at = coalesce(lent_at, ?) WHERE sha256 = ?", (lent_at, sha256)
    )


def _move(tx: Connection, sha256: bytes, state: str, columns: str, *values: object) -> None:
    """Compare and set: one row changes, or the request was no longer where the move starts."""
    moved = tx.execute(
        f"UPDATE request SET state = ?, {columns} WHERE sha256 = ? AND state = ?",  # noqa: S608
        (state, *values, sha256, MOVES[state]),
    )
    if moved.rowcount != 1:
        raise StateError(state)
