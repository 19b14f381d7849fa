"""What whoever administers the database can do to the vault: destroy, exchange, edit and plant."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy import provision, services
from icrstore.flow.readers import Tally, open_records
from icrstore.keeper.client import Keeper
from icrstore.seal.epoch import ROLES, Epoch, Role, commitment, new_atoms, seal_atom
from icrstore.seal.group import by_hour
from icrstore.seal.manifest import ENTRY_BYTES, Manifest
from icrstore.seal.pools import DEFAULT
from icrstore.seal.sealing import SealedEpoch, seal_epoch
from icrstore.vault.months import month_of
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import EpochStatement, KeySchedule
from icrstore.warrant.trust import Trust
from tests.attacks import plain
from tests.attacks.known import Record
from tests.attacks.thief import StolenRow
from tests.site import TENANT, Site

# The tables of the vault, and the column of each that says whose row it is.
_TABLES = {
    "vault_epoch": "id",
    "vault_epochseal": "epoch_id",
    "vault_epoch_batches": "epoch_id",
    "vault_segment": "epoch_no",
    "vault_bucket": "epoch_no",
}


@dataclass(frozen=True)
class Target:
    """An epoch as the database names it."""

    number: int
    eid: bytes
    hour: datetime

    @classmethod
    def find(cls, site: Site, eid: bytes) -> "Target":
        found = site.sql("SELECT id, eid, hour FROM vault_epoch WHERE eid = %s", eid)
        return cls(*found[0])


@dataclass(frozen=True)
class Planted:
    """An epoch that an outsider made by the book, with everything but a sealer's key."""

    epoch: Epoch
    sealed: SealedEpoch
    seals: dict[Role, bytes]
    statement: Envelope


@contextlib.contextmanager
def put_back(site: Site, targets: Sequence[Target]) -> Iterator[list[int]]:
    """Afterwards these epochs are what they were, and those added to the list are gone."""
    numbers = [target.number for target in targets]
    site.sql("CREATE SCHEMA stash")
    for table, column in _TABLES.items():
        kept = f"SELECT * FROM {table} WHERE {column} = ANY(%s)"
        site.sql(f"CREATE TABLE stash.{table} AS {kept}", numbers)
    try:
        yield numbers
    finally:
        for table, column in reversed(_TABLES.items()):
            site.sql(f"DELETE FROM {table} WHERE {column} = ANY(%s)", numbers)
        for table in _TABLES:
            site.sql(f"INSERT INTO {table} SELECT * FROM stash.{table}")
        site.sql("DROP SCHEMA stash CASCADE")


def delete_rows(site: Site, target: Target, rows: Sequence[StolenRow]) -> None:
    labels = [row.label for row in rows]
    where = "epoch_no = %s AND label = ANY(%s)"
    site.sql(f"DELETE FROM vault_segment WHERE {where}", target.number, labels)


def replace_body(site: Site, target: Target, row: StolenRow, body: bytes) -> None:
    where = "epoch_no = %s AND label = %s"
    site.sql(f"UPDATE vault_segment SET body = %s WHERE {where}", body, target.number, row.label)


def delete_epoch(site: Site, target: Target) -> None:
    for table, column in reversed(_TABLES.items()):
        site.sql(f"DELETE FROM {table} WHERE {column} = %s", target.number)


def forget_row(site: Site, target: Target, row: StolenRow) -> None:
    """Delete it, and take it off the manifest as well."""
    delete_rows(site, target, [row])
    found = site.sql(
        "SELECT leaf FROM vault_bucket WHERE epoch_no = %s ORDER BY begins", target.number
    )
    entries = b"".join(leaf[:-16] for (leaf,) in found)
    at = entries.index(row.label)
    fitting = Manifest(entries[:at] + entries[at + ENTRY_BYTES :])
    site.sql("DELETE FROM vault_bucket WHERE epoch_no = %s", target.number)
    _put_manifest(site, month_of(target.hour), target.number, fitting)
    site.sql("UPDATE vault_epoch SET rows = rows - 1 WHERE id = %s", target.number)


def keepers(site: Site, caller: Ed25519PrivateKey) -> dict[Role, Keeper]:
    """Both keepers as anyone reaches them who got onto the host."""
    trust = Trust.parse(provision.trust_file(site.installation).read_bytes())
    return {
        each.role: Keeper(
            each, f"unix:{services.keeper_socket(site.stack.layout, each.role)}", caller
        )
        for each in trust.keepers
    }


def make_epoch(site: Site, records: Sequence[Record], key: Ed25519PrivateKey) -> Planted:
    """Records of one hour sealed to the true day keys, which are public, and signed by ``key``."""
    read = open_records(BytesIO(b"".join(map(Record.line, records))), "ndjson", Tally())
    ((hour, group),) = by_hour(plain.joined(read))
    epoch, atoms = Epoch.new(TENANT, hour, 0), new_atoms()
    sealed = seal_epoch(epoch, atoms, [group], DEFAULT)
    seals = {
        role: seal_atom(_day_key(keeper, epoch.day), epoch, role, 1, atoms[role])
        for role, keeper in keepers(site, key).items()
    }
    statement = EpochStatement(
        epoch=epoch,
        commitments={role: commitment(epoch, role, atoms[role]) for role in ROLES},
        seal_sha256={(role, 1): hashlib.sha256(seal).digest() for role, seal in seals.items()},
        rows=sealed.manifest.rows,
        manifest_root=sealed.manifest.root,
        batches=(),
        pools_sha256=DEFAULT.sha256,
        sealed_at=datetime.now(UTC).replace(microsecond=0),
    )
    return Planted(epoch, sealed, seals, Envelope.sign("epoch", statement.to_fields(), key))


def plant(
    site: Site, made: Planted, acknowledged_at: datetime | None, *,
    eid: bytes | None = None, statement: bytes | None = None,
) -> int:  # fmt: skip
    """Insert it with all that belongs to it, under its own name and statement or others; its
    number."""
    month = month_of(made.epoch.hour)
    ((number,),) = site.sql(
        "INSERT INTO vault_epoch (tenant_id, eid, month, hour, shard, rows, statement)"
        " VALUES (%s, %s, %s, %s, 0, %s, %s) RETURNING id",
        TENANT, eid or made.epoch.eid, month, made.epoch.hour, made.sealed.manifest.rows,
        statement or made.statement.encode(),
    )  # fmt: skip
    _put_manifest(site, month, number, made.sealed.manifest)
    for role, seal in made.seals.items():
        site.sql(
            "INSERT INTO vault_epochseal (epoch_id, role, instance, seal, acknowledged_at, refused)"
            " VALUES (%s, %s, 1, %s, %s, '')", number, role, seal, acknowledged_at,
        )  # fmt: skip
    for row in made.sealed.rows:
        site.sql(
            "INSERT INTO vault_segment VALUES (%s, %s, %s, %s)",
            month, number, row.label, row.body,
        )  # fmt: skip
    return int(number)


def _put_manifest(site: Site, month: int, number: int, manifest: Manifest) -> None:
    for proof in manifest.proofs():
        site.sql(
            "INSERT INTO vault_bucket VALUES (%s, %s, %s, %s, %s, %s)", month, number,
            proof.begins, proof.index, proof.bucket + proof.next_label, b"".join(proof.path),
        )  # fmt: skip


def _day_key(keeper: Keeper, day: str) -> bytes:
    return KeySchedule.parse(keeper.key_schedule(TENANT, day, day)).days[day]
