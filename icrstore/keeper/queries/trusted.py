"""Who is trusted: tenants, their authorities, engines and notifiers, and the peer."""

from dataclasses import dataclass

from icrstore.keeper.errors import Refused
from icrstore.keeper.store import Connection
from icrstore.seal.epoch import Role
from icrstore.warrant.dsse import key_id


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
class NotifierRow:
    """Who tells a tenant's subscribers: the key it signs with, and the one we seal to."""

    tenant: str
    name: str
    key: bytes
    sealing_key: bytes


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


def _one_tenant(tx: Connection, column: str, value: str) -> Tenant:
    row = tx.execute(
        f"SELECT name, root_key, pseudonym, tag_key, size FROM tenant WHERE {column} = ?",  # noqa: S608 - one of two names written above
        (value,),
    ).fetchone()
    if row is None:
        raise Refused("unknown-tenant", 404)
    return Tenant(*row)
