"""The Django rooms inside this process: PostgreSQL with today's tables, two keepers, no worker.

A database of its own beside the site's, so that no sealer or engine at work takes what a test lays
down. Other folders' conftests import the fixtures they need.
"""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command
from django.db import connection, connections
from psycopg.conninfo import conninfo_to_dict

from accounts.models import Authority, Collector, Tenant
from deploy import database as cluster
from deploy.layout import DATABASE_ROLES
from icrstore.flow.schema import Unit, address_bytes, record_schema
from icrstore.inbox.accept import Label, accept
from icrstore.inbox.authorship import METHOD, PATH, SignedCall
from icrstore.inbox.models import Batch
from icrstore.keeper.client import Keeper
from icrstore.seal.epoch import HOUR, ROLES, hour_start
from icrstore.seal.intake import IntakeChain, batch_info, hour_number
from icrstore.vault.keyring import SealerKeys, write_intake
from icrstore.vault.models import Epoch, EpochSeal
from icrstore.vault.months import make_months, month_of
from icrstore.vault.publish import publish_intake_keys
from icrstore.vault.schedule import DayKeys
from icrstore.warrant.dsse import Envelope, key_id, raw_public
from icrstore.warrant.statements import Grant
from icrstore.warrant.trust import Trust
from icrstore.wire import hpke
from icrstore.wire.digest import content_digest_of
from icrstore.wire.signatures import new_nonce, sign_request
from tests.keeper.pair import Pair
from tests.keeper.papers import AUTHORITY, TENANT, utc_now
from tests.stack import Stack

NAME = "icr_rooms"
RECEIPT_KEY = Ed25519PrivateKey.generate()
# Every tenant's here, and the public halves as the sealer host has them on file.
ROOT = Ed25519PrivateKey.generate()
ROOTS: dict[str, bytes] = {}
COLLECTOR_KEYS: dict[str, Ed25519PrivateKey] = {}


@dataclass(frozen=True)
class Database:
    """The database of these tests, as each process role connects to it."""

    stack: Stack

    def url(self, role: str) -> str:
        return cluster.database_url(self.stack.layout, role, NAME)

    def connect(self, role: str) -> psycopg.Connection:
        return psycopg.connect(self.url(role), autocommit=True)

    def use(self, role: str) -> None:
        """From now on this process speaks to it as that role."""
        connections.close_all()
        parts, now = conninfo_to_dict(self.url(role)), connections["default"].settings_dict
        now.update(
            NAME=NAME, USER=parts["user"], HOST=parts["host"], PORT=parts.get("port", ""),
            OPTIONS={**now["OPTIONS"], "passfile": parts["passfile"]},
        )  # fmt: skip
        connections.settings["default"].update(now)


@pytest.fixture(scope="session")
def database(stack: Stack) -> Iterator[Database]:
    """Made by the real migrations and the real grants."""
    stack.start("postgres")
    made = Database(stack)
    with psycopg.connect(cluster.database_url(stack.layout, "admin"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {NAME} ENCODING 'UTF8' TEMPLATE template0")
        # Nobody pulls the plug here; `tests.faults` does.
        admin.execute(f"ALTER DATABASE {NAME} SET synchronous_commit = off")
        admin.execute(f"REVOKE ALL ON DATABASE {NAME} FROM PUBLIC")
        for role in DATABASE_ROLES:
            admin.execute(f"GRANT CONNECT ON DATABASE {NAME} TO icr_{role}")
    made.use("admin")
    call_command("migrate", verbosity=0, interactive=False)
    with psycopg.connect(made.url("admin")) as admin:
        admin.execute((stack.layout.code / cluster.GRANTS).read_bytes())
    make_months(utc_now())
    yield made
    connections.close_all()


TABLES = (
    "retention_certificate",
    "notices_session", "notices_signin", "notices_noticeleaf", "notices_notice", "notices_pull",
    "notices_oldcontact", "notices_subscriber",
    "vault_segment", "vault_bucket", "vault_epochseal", "vault_epoch_batches", "vault_epoch",
    "inbox_batch",
    "inbox_intakekey", "query_query", "query_lodgedwarrant", "ledger_fork", "ledger_checkpoint",
    "ledger_leaf", "ledger_node", "ledger_log", "accounts_principal", "accounts_nonce",
    "accounts_policy", "accounts_revocation",
    "accounts_enrolment", "accounts_collector", "accounts_authority", "accounts_oversightbody",
    "accounts_tenant",
)  # fmt: skip


def record(at: datetime, account: str | None = "line-1", **changed: Any) -> dict[str, Any]:
    """A good TCP record."""
    return {
        "observed_at": at,
        "protocol": 6,
        "source_address": address_bytes("203.0.113.9"),
        "source_port": 40001,
        "destination_address": address_bytes("198.51.100.7"),
        "destination_port": 443,
        "post_nat_source_address": None,
        "post_nat_source_port": None,
        "account": account,
        **changed,
    }


def arrow(records: Sequence[dict[str, Any]], unit: Unit = "us", **options: Any) -> bytes:
    """An Arrow IPC stream of the records; ``options`` are pyarrow's write options."""
    schema = record_schema(unit)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(pa.Table.from_pylist(list(records), schema))
    return bytes(sink.getvalue().to_pybytes())


def frame(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


@dataclass
class Rooms:
    """One tenant with a collector and an authority, a sealer host and two keepers' clients."""

    folder: Path
    pair: Pair
    tenant: Tenant
    collector: Collector
    collector_key: Ed25519PrivateKey
    keys: SealerKeys
    keepers: tuple[Keeper, ...]
    now: datetime = field(default_factory=utc_now)
    sequence: int = 0

    @property
    def days(self) -> DayKeys:
        return DayKeys(self.folder, self.keepers)

    @property
    def hour(self) -> datetime:
        """The last whole hour."""
        return hour_start(self.now) - HOUR

    @property
    def trust(self) -> Trust:
        """Whose receipts count."""
        sealers = {"sealer-1": raw_public(self.keys.signing)}
        return Trust((), {}, {}, sealers, raw_public(RECEIPT_KEY))

    def label(self, **changed: Any) -> Label:
        """A label that `accept` takes: the next batch of the stream, of the last hour."""
        self.sequence += 1
        fields = {
            "batch_id": secrets.token_bytes(16), "stream": "main", "sequence": self.sequence,
            "shard": 0, "first_hour": self.hour, "last_hour": self.hour,
            "intake_hour": hour_start(self.now),
        }  # fmt: skip
        return Label(**{**fields, **changed})

    def seal(self, label: Label, content: bytes, collector: Collector | None = None) -> bytes:
        """What a collector puts into a body: here any bytes."""
        public = self.keys.intake().key_pair(hour_number(label.intake_hour)).public_bytes()
        by = collector or self.collector
        return hpke.seal(public, batch_info(by.tenant_id, by.name, label.batch_id), content)

    def take(self, content: bytes, collector: Collector | None = None, **changed: Any) -> Batch:
        """Accept a batch whose sealed content is this; ``changed`` is of its label."""
        label = self.label(**changed)
        return self.hand_in(label, self.seal(label, content, collector), collector)

    def hand_in(self, label: Label, body: bytes, collector: Collector | None = None) -> Batch:
        """Accept this very body, as the collector signs it."""
        by = collector or self.collector
        signed = sign_call(label, body, COLLECTOR_KEYS[by.keyid], self.now)
        sha256 = hashlib.sha256(body).digest()
        batch, new = accept(by, label, body, sha256, signed, RECEIPT_KEY, self.now)
        assert new
        return batch

    def take_records(
        self, records: Sequence[dict[str, Any]], collector: Collector | None = None, **changed: Any
    ) -> Batch:
        return self.take(frame(arrow(records)), collector, **changed)

    def keepers_log(self, hour: datetime, roles: Sequence[str] = ROLES) -> None:
        """An epoch of the hour, of which the database says that these keepers logged it."""
        epoch = Epoch.objects.create(
            tenant=self.tenant, eid=secrets.token_bytes(16), month=month_of(hour), hour=hour,
            shard=0, rows=0, statement=b"",
        )  # fmt: skip
        for role in ROLES:
            at = hour if role in roles else None
            EpochSeal.objects.create(
                epoch=epoch, role=role, instance=0, seal=b"", acknowledged_at=at
            )


@pytest.fixture
def rooms(database: Database, pair: Pair, tmp_path: Path) -> Iterator[Rooms]:
    """Empty tables but for what `Rooms` names, and the intake keys of this hour and the next."""
    yield make_rooms(pair, tmp_path)
    connections.close_all()


def empty_tables() -> None:
    with connection.cursor() as cursor:
        cursor.execute("".join(f"DELETE FROM {table};" for table in TABLES))


def make_rooms(pair: Pair, folder: Path) -> Rooms:
    """The same for a longer time than one test, while no other test uses the database."""
    empty_tables()
    key, now = Ed25519PrivateKey.generate(), utc_now()
    tenant = add_tenant(TENANT, pair.public("root"))
    write_intake(folder, IntakeChain(hour_number(now) - 3, secrets.token_bytes(32)))
    made = Rooms(
        folder=folder,
        pair=pair,
        tenant=tenant,
        collector=add_collector(tenant, "edge-1", key),
        collector_key=key,
        keys=SealerKeys(folder, pair.keys["sealer"], (pair.grant("sealer"),), ROOTS),
        keepers=tuple(pair.keeper(role, "sealer") for role in ROLES),
        now=now,
    )
    publish_intake_keys(made.keys, now)
    return made


def add_tenant(name: str, authority_root: bytes) -> Tenant:
    """With the keeper pair's authority, under this root."""
    ROOTS[name] = raw_public(ROOT)
    tenant = Tenant.objects.create(name=name, root_key=ROOTS[name])
    Authority.objects.create(tenant=tenant, name=AUTHORITY, root_key=authority_root)
    return tenant


def add_collector(tenant: Tenant, name: str, key: Ed25519PrivateKey) -> Collector:
    """Granted by the tenant's root."""
    public = raw_public(key)
    COLLECTOR_KEYS[key_id(public)] = key
    return Collector.objects.create(
        tenant=tenant, name=name, key=public, keyid=key_id(public),
        grant=collector_grant(tenant.name, name, public),
    )  # fmt: skip


def collector_grant(tenant: str, name: str, public: bytes, **changed: Any) -> bytes:
    """The root's word, for ten days around now; ``changed`` is of its fields."""
    begins = utc_now() - timedelta(days=5)
    fields = Grant(
        tenant, "collector", public, name, begins, begins + timedelta(days=10)
    ).to_fields()
    return Envelope.sign("grant", {**fields, **changed}, ROOT).encode()


def sign_call(label: Label, body: bytes, key: Ed25519PrivateKey, at: datetime) -> bytes:
    """The call by which a collector hands the batch in, as its row keeps it."""
    headers = {**label_headers(label), "Content-Digest": content_digest_of(body)}
    signature = sign_request(
        METHOD, "icr.example", PATH, headers, key=key, keyid=key_id(raw_public(key)),
        created_unix_seconds=int(at.timestamp()), nonce=new_nonce(),
    )  # fmt: skip
    lowered = [{name.lower(): each[name] for name in each} for each in (headers, signature)]
    return SignedCall.of("icr.example", *lowered).encode()


def label_headers(label: Label) -> dict[str, str]:
    hours = [f"{hour:%Y-%m-%dT%H}:00:00Z"
             for hour in (label.first_hour, label.last_hour, label.intake_hour)]  # fmt: skip
    return {
        "Content-Type": "application/vnd.icr.batch.v1",
        "Idempotency-Key": f'"{label.batch_id.hex()}"',
        "Batch-Sequence": f'stream="{label.stream}", n={label.sequence}',
        "Batch-Scope": f'shard={label.shard}, first="{hours[0]}", last="{hours[1]}"',
        "Intake-Key": f'hour="{hours[2]}"',
    }


def state_of(batch: Batch) -> tuple[str, int, dict[str, int]]:
    """As the sealer left it: its state, its good records, and the others by reason."""
    batch.refresh_from_db()
    return batch.state, batch.records, batch.rejected
