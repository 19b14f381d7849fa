"""The statements that machines sign (`icrstore.warrant.statements` holds what people sign).

A value's `to_fields` gives what `Envelope.sign` writes; `parse` takes an envelope whose signature
the caller checks, or has checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from icrstore.seal.epoch import ROLES, Epoch, Role
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.gaps import Gap
from icrstore.warrant.statements import MOST_ACCOUNTS, read_account
from icrstore.warrant.strict import Fields, StatementError, encode_base64, time_text
from icrstore.wire import hpke

CHANNELS = ("email", "outbox")
# An epoch names every batch that it was made from, in 47 bytes each as it goes to a keeper. This is
# a fifth of what one statement may be, so dozens go in one call; of more, sealers make two epochs.
MOST_BATCHES = 4096

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class EngineKey:
    """The short-lived key (HPKE, 1,216 bytes) to which a keeper seals what it lends."""

    tenant: str
    engine: str
    key: bytes
    not_after: datetime

    @classmethod
    def parse(cls, envelope: Envelope) -> "EngineKey":
        fields = envelope.fields()
        made = cls(
            tenant=fields.text("tenant", 64),
            engine=fields.text("engine", 64),
            key=fields.base64("key", hpke.PUBLIC_BYTES),
            not_after=fields.time("not_after"),
        )
        fields.finish()
        return made

    def to_fields(self) -> dict[str, Any]:
        return {
            "v": 1,
            "tenant": self.tenant,
            "engine": self.engine,
            "key": encode_base64(self.key),
            "not_after": time_text(self.not_after),
        }


@dataclass(frozen=True)
class Disclosure:
    """What an answer names: logged with every keeper before the answer leaves the engine.

    ``records``: how many records of each account, in their order, the answer was made from.
    """

    request_sha256: bytes
    accounts: tuple[str, ...]
    records: tuple[int, ...]
    opened_accounts: int
    answer_sha256: bytes

    @classmethod
    def parse(cls, envelope: Envelope) -> "Disclosure":
        fields = envelope.fields()
        made = cls(
            request_sha256=fields.hexadecimal("request_sha256", 32),
            accounts=fields.items("accounts", read_account, 0, MOST_ACCOUNTS),
            records=fields.items("records", _records, 0, MOST_ACCOUNTS),
            opened_accounts=fields.integer("opened_accounts", 0, 1 << 32),
            answer_sha256=fields.hexadecimal("answer_sha256", 32),
        )
        fields.finish()
        if len(set(made.accounts)) != len(made.accounts):
            raise StatementError("duplicate-account", "accounts")
        if len(made.records) != len(made.accounts):
            raise StatementError("not-one-for-each", "records")
        return made

    def to_fields(self) -> dict[str, Any]:
        return {
            "v": 1,
            "request_sha256": self.request_sha256.hex(),
            "accounts": list(self.accounts),
            "records": list(self.records),
            "opened_accounts": self.opened_accounts,
            "answer_sha256": self.answer_sha256.hex(),
        }


@dataclass(frozen=True)
class EpochStatement:
    """What the sealer host signs of one epoch. ``seal_sha256`` maps (role, instance)."""

    epoch: Epoch
    commitments: Mapping[Role, bytes]
    seal_sha256: Mapping[tuple[Role, int], bytes]
    rows: int
    manifest_root: bytes
    batches: tuple[bytes, ...]
    pools_sha256: bytes
    sealed_at: datetime

    @classmethod
    def parse(cls, envelope: Envelope) -> "EpochStatement":
        fields = envelope.fields()
        commitments = fields.nested("commitments")
        made = cls(
            epoch=_epoch(fields),
            commitments={role: commitments.hexadecimal(role, 32) for role in ROLES},
            seal_sha256=_once(fields.items("seals", _seal, len(ROLES), 16), "seals"),
            rows=fields.integer("rows", 0, 1 << 40),
            manifest_root=fields.hexadecimal("manifest_root", 32),
            batches=fields.items("batches", _batch_id, 0, MOST_BATCHES),
            pools_sha256=fields.hexadecimal("pools_sha256", 32),
            sealed_at=fields.time("sealed_at"),
        )
        commitments.finish()
        fields.finish()
        return made

    def to_fields(self) -> dict[str, Any]:
        return {
            "v": 1,
            "tenant": self.epoch.tenant,
            "hour": time_text(self.epoch.hour),
            "shard": self.epoch.shard,
            "nonce": self.epoch.nonce.hex(),
            "commitments": {role: made.hex() for role, made in self.commitments.items()},
            "seals": [
                {"role": role, "instance": instance, "sha256": sha256.hex()}
                for (role, instance), sha256 in sorted(self.seal_sha256.items())
            ],
            "rows": self.rows,
            "manifest_root": self.manifest_root.hex(),
            "batches": [batch.hex() for batch in self.batches],
            "pools_sha256": self.pools_sha256.hex(),
            "sealed_at": time_text(self.sealed_at),
        }


@dataclass(frozen=True)
class KeySchedule:
    """A keeper instance's public day keys for one tenant, by UTC day, signed by its identity."""

    tenant: str
    role: Role
    instance: int
    days: Mapping[str, bytes]
    made_at: datetime

    @classmethod
    def parse(cls, envelope: Envelope) -> "KeySchedule":
        fields = envelope.fields()
        made = cls(
            tenant=fields.text("tenant", 64),
            role=_role(fields),
            instance=fields.integer("instance", 0, 255),
            days=_once(fields.items("days", _day_key, 1, 500), "days"),
            made_at=fields.time("made_at"),
        )
        fields.finish()
        return made

    def to_fields(self) -> dict[str, Any]:
        return {
            "v": 1,
            "tenant": self.tenant,
            "role": self.role,
            "instance": self.instance,
            "days": [
                {"day": day, "key": encode_base64(key)} for day, key in sorted(self.days.items())
            ],
            "made_at": time_text(self.made_at),
        }


@dataclass(frozen=True)
class IntakeKey:
    """The public key (HPKE, 1,216 bytes) to which batches are sealed in one UTC hour."""

    hour: datetime
    key: bytes

    @classmethod
    def parse(cls, envelope: Envelope) -> "IntakeKey":
        fields = envelope.fields()
        made = cls(hour=fields.hour("hour"), key=fields.base64("key", hpke.PUBLIC_BYTES))
        fields.finish()
        return made

    def to_fields(self) -> dict[str, Any]:
        return {"v": 1, "hour": time_text(self.hour), "key": encode_base64(self.key)}


@dataclass(frozen=True)
class Receipt:
    """What became of a batch. ``accepted`` is signed by the inbox; ``sealed`` by the sealer host,
    after every keeper logged its epochs: only then may a collector forget the batch. Both name its
    number in the collector's stream, and the hours (first and last) and shard that it may reach.
    ``gaps`` are those that the batch told of; a receipt without any has no such member."""

    state: str
    tenant: str
    collector: str
    batch_id: bytes
    stream: str
    sequence: int
    shard: int
    first_hour: datetime
    last_hour: datetime
    at: datetime
    body_sha256: bytes
    records: int = 0
    rejected: Mapping[str, int] | None = None
    epochs: tuple[bytes, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @classmethod
    def parse(cls, envelope: Envelope) -> "Receipt":
        fields = envelope.fields()
        made = cls(
            state=fields.one_of("state", ("accepted", "sealed")),
            tenant=fields.text("tenant", 64),
            collector=fields.text("collector", 64),
            batch_id=fields.hexadecimal("batch_id", 16),
            stream=fields.text("stream", 64),
            sequence=fields.integer("sequence", 0, 10**15),
            shard=fields.integer("shard", 0, 65535),
            first_hour=fields.hour("first_hour"),
            last_hour=fields.hour("last_hour"),
            at=fields.time("at"),
            body_sha256=fields.hexadecimal("body_sha256", 32),
            records=fields.integer("records", 0, 1 << 40),
            rejected=_once(fields.items("rejected", _count), "rejected"),
            epochs=fields.items("epochs", _batch_id, 0, 100_000),
            gaps=fields.items("gaps", Gap.read, 1) if fields.has("gaps") else (),
        )
        fields.finish()
        return made

    def to_fields(self) -> dict[str, Any]:
        told = {"gaps": [gap.to_fields() for gap in self.gaps]} if self.gaps else {}
        return {
            "v": 1,
            "state": self.state,
            "tenant": self.tenant,
            "collector": self.collector,
            "batch_id": self.batch_id.hex(),
            "stream": self.stream,
            "sequence": self.sequence,
            "shard": self.shard,
            "first_hour": time_text(self.first_hour),
            "last_hour": time_text(self.last_hour),
            "at": time_text(self.at),
            "body_sha256": self.body_sha256.hex(),
            "records": self.records,
            "rejected": [
                {"reason": reason, "count": count}
                for reason, count in sorted((self.rejected or {}).items())
            ],
            "epochs": [eid.hex() for eid in self.epochs],
            **told,
        }


@dataclass(frozen=True)
class Notice:
    """A notifier's word that the subscriber behind a leaf was told of it, how and when."""

    tenant: str
    leaf: int
    leaf_sha256: bytes
    channel: str
    delivered_at: datetime

    @classmethod
    def parse(cls, envelope: Envelope) -> "Notice":
        fields = envelope.fields()
        made = cls(
            tenant=fields.text("tenant", 64),
            leaf=fields.integer("leaf", 0, 1 << 32),
            leaf_sha256=fields.hexadecimal("leaf_sha256", 32),
            channel=fields.one_of("channel", CHANNELS),
            delivered_at=fields.time("delivered_at"),
        )
        fields.finish()
        return made

    def to_fields(self) -> dict[str, Any]:
        return {
            "v": 1,
            "tenant": self.tenant,
            "leaf": self.leaf,
            "leaf_sha256": self.leaf_sha256.hex(),
            "channel": self.channel,
            "delivered_at": time_text(self.delivered_at),
        }


def _role(fields: Fields) -> Role:
    value = fields.one_of("role", ROLES)
    return next(role for role in ROLES if role == value)


def _epoch(fields: Fields) -> Epoch:
    return Epoch(
        tenant=fields.text("tenant", 64),
        hour=fields.hour("hour"),
        shard=fields.integer("shard", 0, 65535),
        nonce=fields.hexadecimal("nonce", 16),
    )


def _seal(value: Any, place: str) -> tuple[tuple[Role, int], bytes]:
    fields = Fields(value, place)
    made = (_role(fields), fields.integer("instance", 0, 255)), fields.hexadecimal("sha256", 32)
    fields.finish()
    return made


def _batch_id(value: Any, place: str) -> bytes:
    return Fields({"id": value}, place).hexadecimal("id", 16)


def _day_key(value: Any, place: str) -> tuple[str, bytes]:
    fields = Fields(value, place)
    made = fields.day("day"), fields.base64("key", hpke.PUBLIC_BYTES)
    fields.finish()
    return made


def _count(value: Any, place: str) -> tuple[str, int]:
    fields = Fields(value, place)
    made = fields.text("reason", 64), fields.integer("count", 0, 1 << 40)
    fields.finish()
    return made


def _records(value: Any, place: str) -> int:
    return Fields({"records": value}, place).integer("records", 0, 1 << 53)


def _once(entries: tuple[tuple[K, V], ...], place: str) -> dict[K, V]:
    """The entries by their keys; a second entry of one key would be read in two ways."""
    made = dict(entries)
    if len(made) != len(entries):
        raise StatementError("duplicate-entry", place)
    return made
