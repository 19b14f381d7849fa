"""Every question and change that the keeper's code puts to its store, by name."""

from collections.abc import Iterable
from dataclasses import dataclass

from icrstore.keeper.errors import KeeperError, Refused
from icrstore.keeper.store import Connection
from icrstore.seal.epoch import Role
from icrstore.warrant.dsse import key_id

# The states of a request and the moves between them; there are no others.
MOVES = {
    "released": "committed",
    "expired": "committed",
    "disclosed": "released",
}


class StateError(KeeperError):
    """A request was no longer in the state that a move starts from."""


@dataclass(frozen=True)
class Tenant:
    name: str
    root_key: bytes
    pseudonym: str
    tag_key: bytes
    size: int


@dataclass(frozen=True)
class Peer:
    role: str
    name: str
    log_key: bytes
    witness_key: bytes


@dataclass(frozen=True)
class DayRow:
    day: str
    public: bytes
    seed: bytes
    day_key: bytes


@dataclass(frozen=True)
class EpochRow:
    eid: bytes
    hour: int
    shard: int
    statement_sha256: bytes
    atom: bytes


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


@dataclass(frozen=True)
class NotifierRow:
    """Who tells a tenant's subscribers: the key it signs with, and the one we seal to."""

    tenant: str
    name: str
    key: bytes
    sealing_key: bytes


@dataclass(frozen=True)
class DebtRow:
    """A leaf whose account (locked) must be told; ``notice`` is the leaf that says it was."""

    number: int
    leaf: int
    account: bytes
    owed_at: int
    notice: int | None


@dataclass(frozen=True)
class ClockRow:
    """The last leaf of any log, the last moment at which the clock was known to be right (Unix
    seconds both), and the boot clock at that leaf."""

    last_leaf_at: int
    trusted_at: int
    boot: str
    boot_seconds: int


_REQUEST_COLUMNS = ", ".join(RequestRow.__dataclass_fields__)


def clock(tx: Connection) -> ClockRow | None:
    """None before the first leaf."""
    row = tx.execute("SELECT last_leaf_at, trusted_at, boot, boot_seconds FROM clock").fetchone()
    return ClockRow(*row) if row else None


def set_last_leaf_at(tx: Connection, unix_seconds: int) -> None:
    tx.execute(
        "INSERT INTO clock VALUES (1, ?1, ?1, '', 0)"
        " ON CONFLICT (id) DO UPDATE SET last_leaf_at = ?1",
        (unix_seconds,),
    )


def trust_clock(tx: Connection, unix_seconds: int) -> None:
    tx.execute("UPDATE clock SET trusted_at = ?", (unix_seconds,))


def set_boot(tx: Connection, boot: str, seconds: int) -> None:
    tx.execute("UPDATE clock SET boot = ?, boot_seconds = ?", (boot, seconds))


def tenants(tx: Connection) -> list[Tenant]:
    rows = tx.execute("SELECT name, root_key, pseudonym, tag_key, size FROM tenant ORDER BY name")
    return [Tenant(*row) for row in rows]


def tenant(tx: Connection, name: str) -> Tenant:
    """Raises Refused(unknown-tenant)."""
    return _one_tenant(tx, "name", name)


def tenant_of_log(tx: Connection, pseudonym: str) -> Tenant:
    """Raises Refused(unknown-tenant)."""
    return _one_tenant(tx, "pseudonym", pseudonym)


def add_tenant(tx: Connection, made: Tenant) -> None:
    tx.execute(
        "INSERT INTO tenant (name, root_key, pseudonym, tag_key) VALUES (?, ?, ?, ?)",
        (made.name, made.root_key, made.pseudonym, made.tag_key),
    )


def set_tenant_root(tx: Connection, name: str, root_key: bytes) -> None:
    tx.execute("UPDATE tenant SET root_key = ? WHERE name = ?", (root_key, name))


def pins(tx: Connection) -> list[tuple[str, str, str, bytes]]:
    """Every pinned authority and engine: kind, tenant, name, key."""
    return tx.execute("SELECT kind, tenant, name, key FROM pin ORDER BY 1, 2, 3").fetchall()


def pinned(tx: Connection, kind: str, tenant_name: str, name: str) -> bytes | None:
    """The key pinned under a name, if any."""
    row = tx.execute(
        "SELECT key FROM pin WHERE kind = ? AND tenant = ? AND name = ?", (kind, tenant_name, name)
    ).fetchone()
    return row[0] if row else None


def set_pin(tx: Connection, kind: str, tenant_name: str, name: str, key: bytes) -> None:
    tx.execute(
        "INSERT OR REPLACE INTO pin (kind, tenant, name, key) VALUES (?, ?, ?, ?)",
        (kind, tenant_name, name, key),
    )


def engine_named(tx: Connection, tenant_name: str, key: bytes) -> str:
    """The name of a tenant's engine by its identity key. Raises Refused(unknown-engine)."""
    row = tx.execute(
        "SELECT name FROM pin WHERE kind = 'engine' AND tenant = ? AND key = ?", (tenant_name, key)
    ).fetchone()
    if row is None:
        raise Refused("unknown-engine")
    return str(row[0])


def is_engine_of(tx: Connection, tenant_name: str, key: bytes) -> bool:
    try:
        engine_named(tx, tenant_name, key)
    except Refused:
        return False
    return True


def engine_with(tx: Connection, keyid: str) -> bytes | None:
    """The identity key of a pinned engine of any tenant by its key id."""
    rows = tx.execute("SELECT DISTINCT key FROM pin WHERE kind = 'engine'")
    return next((row[0] for row in rows if key_id(row[0]) == keyid), None)


def notifiers(tx: Connection) -> list[NotifierRow]:
    rows = tx.execute("SELECT tenant, name, key, sealing_key FROM notifier ORDER BY tenant, name")
    return [NotifierRow(*row) for row in rows]


def notifier_of(tx: Connection, tenant_name: str, key: bytes) -> NotifierRow:
    """A tenant's notifier by its signing key. Raises Refused(unknown-notifier)."""
    for each in notifiers(tx):
        if (each.tenant, each.key) == (tenant_name, key):
            return each
    raise Refused("unknown-notifier")


def is_notifier_of(tx: Connection, tenant_name: str, key: bytes) -> bool:
    return any((each.tenant, each.key) == (tenant_name, key) for each in notifiers(tx))


def notifier_with(tx: Connection, keyid: str) -> bytes | None:
    """The signing key of a pinned notifier of any tenant by its key id."""
    return next((each.key for each in notifiers(tx) if key_id(each.key) == keyid), None)


def set_notifier(tx: Connection, made: NotifierRow) -> None:
    tx.execute(
        "INSERT OR REPLACE INTO notifier (tenant, name, key, sealing_key) VALUES (?, ?, ?, ?)",
        (made.tenant, made.name, made.key, made.sealing_key),
    )


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


def peers(tx: Connection) -> list[Peer]:
    rows = tx.execute("SELECT role, name, log_key, witness_key FROM peer ORDER BY role")
    return [Peer(*row) for row in rows]


def peer(tx: Connection, role: Role) -> Peer:
    """The pinned keeper of the other role. Raises Refused(no-peer)."""
    found = next((each for each in peers(tx) if each.role == role), None)
    if found is None:
        raise Refused("no-peer", 503)
    return found


def set_peer(tx: Connection, made: Peer) -> None:
    tx.execute(
        "INSERT OR REPLACE INTO peer (role, name, log_key, witness_key) VALUES (?, ?, ?, ?)",
        (made.role, made.name, made.log_key, made.witness_key),
    )


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


def requests_under(tx: Connection, tenant_name: str, warrant_sha256: bytes) -> int:
    """How many questions a warrant has been used for."""
    row = tx.execute(
        "SELECT count(*) FROM request WHERE tenant = ? AND warrant_sha256 = ?",
        (tenant_name, warrant_sha256),
    ).fetchone()
    return int(row[0])


def request(tx: Connection, sha256: bytes) -> RequestRow | None:
    row = tx.execute(
        f"SELECT {_REQUEST_COLUMNS} FROM request WHERE sha256 = ?",  # noqa: S608 - our own names
        (sha256,),
    ).fetchone()
    return RequestRow(*row) if row else None


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


def add_refusal(tx: Connection, tenant_name: str, request_sha256: bytes, code: str) -> bool:
    """Whether this refusal is a new one."""
    made = tx.execute(
        "INSERT OR IGNORE INTO refusal VALUES (?, ?, ?)", (tenant_name, request_sha256, code)
    )
    return made.rowcount == 1


def count_strangers(tx: Connection, code: str, refused: int) -> None:
    tx.execute(
        "INSERT INTO stranger VALUES (?1, ?2) ON CONFLICT DO UPDATE SET refused = refused + ?2",
        (code, refused),
    )


def strangers(tx: Connection) -> dict[str, int]:
    return dict(tx.execute("SELECT code, refused FROM stranger ORDER BY code").fetchall())


def _one_tenant(tx: Connection, column: str, value: str) -> Tenant:
    row = tx.execute(
        f"SELECT name, root_key, pseudonym, tag_key, size FROM tenant WHERE {column} = ?",  # noqa: S608 - one of two names written above
        (value,),
    ).fetchone()
    if row is None:
        raise Refused("unknown-tenant", 404)
    return Tenant(*row)


def _move(tx: Connection, sha256: bytes, state: str, columns: str, *values: object) -> None:
    """Compare and set: one row changes, or the request was no longer where the move starts."""
    moved = tx.execute(
        f"UPDATE request SET state = ?, {columns} WHERE sha256 = ? AND state = ?",  # noqa: S608
        (state, *values, sha256, MOVES[state]),
    )
    if moved.rowcount != 1:
        raise StateError(state)
