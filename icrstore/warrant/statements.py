"""The statements that people and machines sign, each parsed strictly into one frozen value.

A value's `to_fields` gives what `Envelope.sign` writes; `parse` takes an envelope whose signature
the caller checks (`icrstore.warrant.authority`), or has checked.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, TypeVar, get_args

from icrstore.seal.encode import text as encoded_text
from icrstore.seal.epoch import ROLES, Epoch, Kind, Role
from icrstore.seal.pools import address_selector
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.strict import Fields, StatementError, encode_base64, hours_between, time_text
from icrstore.wire import hpke

Purpose = Literal["resolve", "services", "reached"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
GRANT_ROLES = ("applicant", "approver", "investigator", "sealer", "oversight")
CHANNELS = ("email", "outbox")
MOST_HOURS = 24 * 366

K = TypeVar("K")
V = TypeVar("V")

_CIDR = re.compile(r"[0-9a-fA-F:.]+/\d{1,3}", re.ASCII)


@dataclass(frozen=True)
class AccountSelector:
    account: str

    @property
    def kind(self) -> Kind:
        return "account"

    def sealed_names(self) -> tuple[bytes, ...]:
        """The `sel` values under which the epochs hold this selector."""
        return (encoded_text(self.account),)

    def to_fields(self) -> dict[str, Any]:
        return {"account": self.account}


@dataclass(frozen=True)
class AddressSelector:
    """Who held this address (16 bytes) and port, by this protocol, at this time, give or take."""

    address: bytes
    port: int
    protocol: int
    at: datetime
    tolerance: timedelta

    @property
    def kind(self) -> Kind:
        return "address"

    def sealed_names(self) -> tuple[bytes, ...]:
        return (address_selector(self.address, self.port),)

    def to_fields(self) -> dict[str, Any]:
        parsed = ipaddress.IPv6Address(self.address)
        return {
            "address": str(parsed.ipv4_mapped or parsed),
            "port": self.port,
            "protocol": self.protocol,
            "at": time_text(self.at),
            "tolerance_seconds": int(self.tolerance.total_seconds()),
        }


Selector = AccountSelector | AddressSelector


@dataclass(frozen=True)
class Target:
    """A destination network and when it was the service's."""

    cidr: str
    first: datetime
    end: datetime

    def to_fields(self) -> dict[str, Any]:
        return {"cidr": self.cidr, "from": time_text(self.first), "to": time_text(self.end)}


@dataclass(frozen=True)
class HourRange:
    """UTC hours from ``first`` (included) to ``end`` (excluded)."""

    first: datetime
    end: datetime

    def hours(self) -> list[datetime]:
        return hours_between(self.first, self.end)

    def to_fields(self) -> dict[str, Any]:
        return {"from": time_text(self.first), "to": time_text(self.end)}


@dataclass(frozen=True)
class Warrant:
    id: str
    nonce: bytes
    tenant: str
    instrument: str
    authority: str
    purpose: Purpose
    basis: str
    selectors: tuple[Selector, ...]
    targets: tuple[Target, ...]
    hours: HourRange
    valid_from: datetime
    valid_to: datetime
    max_requests: int
    max_candidates: int
    recipient_keys: tuple[bytes, ...]
    notify: str = "at-once"

    @classmethod
    def parse(cls, envelope: Envelope) -> "Warrant":
        fields = envelope.fields()
        made = cls(
            id=fields.text("id", 64),
            nonce=fields.hexadecimal("nonce", 16),
            tenant=fields.text("tenant", 64),
            instrument=fields.text("instrument"),
            authority=fields.text("authority", 64),
            purpose=_purpose(fields),
            basis=fields.text("basis", 1024),
            selectors=_selectors(fields),
            targets=fields.items("targets", read_target),
            hours=_hours(fields),
            valid_from=fields.time("valid_from"),
            valid_to=fields.time("valid_to"),
            max_requests=fields.integer("max_requests", 1, 10_000),
            max_candidates=fields.integer("max_candidates", 0, 100),
            recipient_keys=fields.items("recipient_keys", _recipient, 1, 10),
            # A hold of the notice is another promise than this version can keep.
            notify=fields.one_of("notify", ("at-once",)),
        )
        fields.finish()
        if made.valid_to <= made.valid_from:
            raise StatementError("ends-before-it-begins", "valid_to")
        _fits_purpose(made.purpose, made.selectors, made.targets)
        return made

    def to_fields(self) -> dict[str, Any]:
        return {
            "v": 1,
            "id": self.id,
            "nonce": self.nonce.hex(),
            "tenant": self.tenant,
            "instrument": self.instrument,
            "authority": self.authority,
            "purpose": self.purpose,
            "basis": self.basis,
            "selectors": [selector.to_fields() for selector in self.selectors],
            "targets": [target.to_fields() for target in self.targets],
            **self.hours.to_fields(),
            "valid_from": time_text(self.valid_from),
            "valid_to": time_text(self.valid_to),
            "max_requests": self.max_requests,
            "max_candidates": self.max_candidates,
            "recipient_keys": [encode_base64(key) for key in self.recipient_keys],
            "notify": self.notify,
        }


@dataclass(frozen=True)
class Request:
    """One question under a warrant; ``hours`` are ranges in order, without overlap."""

    request_id: bytes
    warrant_sha256: bytes
    selectors: tuple[Selector, ...]
    targets: tuple[Target, ...]
    hours: tuple[HourRange, ...]
    urgent: bool
    nonce: bytes
    created: datetime

    @classmethod
    def parse(cls, envelope: Envelope) -> "Request":
        fields = envelope.fields()
        made = cls(
            request_id=fields.hexadecimal("request_id", 16),
            warrant_sha256=fields.hexadecimal("warrant_sha256", 32),
            selectors=_selectors(fields),
            targets=fields.items("targets", read_target),
            hours=fields.items("hours", _hour_range, 1, 1000),
            urgent=fields.boolean("urgent"),
            nonce=fields.hexadecimal("nonce", 16),
            created=fields.time("created"),
        )
        fields.finish()
        ordered = made.hours
        if any(a.end > b.first for a, b in pairwise(ordered)):
            raise StatementError("hours-overlap", "hours")
        if sum(len(hours.hours()) for hours in ordered) > MOST_HOURS:
            raise StatementError("too-many-hours", "hours")
        return made

    def all_hours(self) -> list[datetime]:
        return [hour for hours in self.hours for hour in hours.hours()]

    def to_fields(self) -> dict[str, Any]:
        return {
            "v": 1,
            "request_id": self.request_id.hex(),
            "warrant_sha256": self.warrant_sha256.hex(),
            "selectors": [selector.to_fields() for selector in self.selectors],
            "targets": [target.to_fields() for target in self.targets],
            "hours": [hours.to_fields() for hours in self.hours],
            "urgent": self.urgent,
            "nonce": self.nonce.hex(),
            "created": time_text(self.created),
        }


@dataclass(frozen=True)
class Grant:
    """A root (an authority's, a tenant's or an oversight body's) vouches that a key is its own."""

    issuer: str
    role: str
    key: bytes
    holder: str
    not_before: datetime
    not_after: datetime

    @classmethod
    def parse(cls, envelope: Envelope) -> "Grant":
        fields = envelope.fields()
        made = cls(
            issuer=fields.text("issuer", 64),
            role=fields.one_of("role", GRANT_ROLES),
            key=fields.base64("key", 32),
            holder=fields.text("holder"),
            not_before=fields.time("not_before"),
            not_after=fields.time("not_after"),
        )
        fields.finish()
        return made

    def to_fields(self) -> dict[str, Any]:
        return {
            "v": 1,
            "issuer": self.issuer,
            "role": self.role,
            "key": encode_base64(self.key),
            "holder": self.holder,
            "not_before": time_text(self.not_before),
            "not_after": time_text(self.not_after),
        }


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
    """What an answer names: logged with every keeper before the answer leaves the engine."""

    request_sha256: bytes
    accounts: tuple[str, ...]
    opened_accounts: int
    answer_sha256: bytes

    @classmethod
    def parse(cls, envelope: Envelope) -> "Disclosure":
        fields = envelope.fields()
        made = cls(
            request_sha256=fields.hexadecimal("request_sha256", 32),
            accounts=fields.items("accounts", read_account, 0, 1000),
            opened_accounts=fields.integer("opened_accounts", 0, 1 << 32),
            answer_sha256=fields.hexadecimal("answer_sha256", 32),
        )
        fields.finish()
        if len(set(made.accounts)) != len(made.accounts):
            raise StatementError("duplicate-account", "accounts")
        return made

    def to_fields(self) -> dict[str, Any]:
        return {
            "v": 1,
            "request_sha256": self.request_sha256.hex(),
            "accounts": list(self.accounts),
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
            batches=fields.items("batches", _batch_id, 0, 100_000),
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
    after every keeper logged its epochs: only then may a collector forget the batch."""

    state: str
    tenant: str
    collector: str
    batch_id: bytes
    at: datetime
    body_sha256: bytes
    records: int = 0
    rejected: Mapping[str, int] | None = None
    epochs: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, envelope: Envelope) -> "Receipt":
        fields = envelope.fields()
        made = cls(
            state=fields.one_of("state", ("accepted", "sealed")),
            tenant=fields.text("tenant", 64),
            collector=fields.text("collector", 64),
            batch_id=fields.hexadecimal("batch_id", 16),
            at=fields.time("at"),
            body_sha256=fields.hexadecimal("body_sha256", 32),
            records=fields.integer("records", 0, 1 << 40),
            rejected=_once(fields.items("rejected", _count), "rejected"),
            epochs=fields.items("epochs", _batch_id, 0, 100_000),
        )
        fields.finish()
        return made

    def to_fields(self) -> dict[str, Any]:
        return {
            "v": 1,
            "state": self.state,
            "tenant": self.tenant,
            "collector": self.collector,
            "batch_id": self.batch_id.hex(),
            "at": time_text(self.at),
            "body_sha256": self.body_sha256.hex(),
            "records": self.records,
            "rejected": [
                {"reason": reason, "count": count}
                for reason, count in sorted((self.rejected or {}).items())
            ],
            "epochs": [eid.hex() for eid in self.epochs],
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


def read_account(value: Any, place: str) -> str:
    """An account as it may stand in a record: 1 to 64 bytes of NFC, no control characters."""
    return Fields({"account": value}, place).text("account", 64)


def _purpose(fields: Fields) -> Purpose:
    value = fields.one_of("purpose", PURPOSES)
    return next(purpose for purpose in PURPOSES if purpose == value)


def _role(fields: Fields) -> Role:
    value = fields.one_of("role", ROLES)
    return next(role for role in ROLES if role == value)


def _hours(fields: Fields) -> HourRange:
    made = HourRange(fields.hour("from"), fields.hour("to"))
    if made.end <= made.first:
        raise StatementError("ends-before-it-begins", "to")
    if made.end - made.first > timedelta(hours=MOST_HOURS):
        raise StatementError("too-many-hours", "to")
    return made


def _hour_range(value: Any, place: str) -> HourRange:
    fields = Fields(value, place)
    made = _hours(fields)
    fields.finish()
    return made


def _selectors(fields: Fields) -> tuple[Selector, ...]:
    made = fields.items("selectors", read_selector, 1, 100)
    if len(set(made)) != len(made):
        raise StatementError("duplicate-selector", "selectors")
    return made


def read_selector(value: Any, place: str) -> Selector:
    fields = Fields(value, place)
    if fields.has("account"):
        account = AccountSelector(fields.text("account", 64))
        fields.finish()
        return account
    address = AddressSelector(
        address=_address(fields.text("address", 45), place),
        port=fields.integer("port", 0, 65535),
        protocol=fields.integer("protocol", 0, 255),
        at=fields.time("at"),
        tolerance=timedelta(seconds=fields.integer("tolerance_seconds", 0, 3600)),
    )
    fields.finish()
    return address


def _address(value: str, place: str) -> bytes:
    try:
        parsed = ipaddress.ip_address(value)
    except ValueError:
        # Not chained: the library's message repeats the address.
        raise StatementError("not-an-address", place) from None
    if isinstance(parsed, ipaddress.IPv4Address):
        return bytes(10) + b"\xff\xff" + parsed.packed
    if parsed.scope_id is not None:
        raise StatementError("not-an-address", place)
    return parsed.packed


def read_target(value: Any, place: str) -> Target:
    fields = Fields(value, place)
    cidr = fields.text("cidr", 49)
    # Python would also take a netmask, a hostmask, a zone or no length: each another reading.
    if not _CIDR.fullmatch(cidr) or not _is_network(cidr):
        raise StatementError("not-a-network", place)
    made = Target(cidr, fields.time("from"), fields.time("to"))
    fields.finish()
    if made.end <= made.first:
        raise StatementError("ends-before-it-begins", place)
    return made


def _is_network(cidr: str) -> bool:
    try:
        ipaddress.ip_network(cidr, strict=True)
    except ValueError:
        return False
    return True


def _recipient(value: Any, place: str) -> bytes:
    return Fields({"key": value}, place).base64("key", hpke.PUBLIC_BYTES)


def _fits_purpose(
    purpose: Purpose, selectors: tuple[Selector, ...], targets: tuple[Target, ...]
) -> None:
    """Purpose 1 asks by address; 2 and 3 by account; only 3 has targets."""
    wanted = AddressSelector if purpose == "resolve" else AccountSelector
    if not all(isinstance(selector, wanted) for selector in selectors):
        raise StatementError("does-not-fit-the-purpose", "selectors")
    if bool(targets) != (purpose == "reached"):
        raise StatementError("does-not-fit-the-purpose", "targets")


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


def _once(entries: tuple[tuple[K, V], ...], place: str) -> dict[K, V]:
    """The entries by their keys; a second entry of one key would be read in two ways."""
    made = dict(entries)
    if len(made) != len(entries):
        raise StatementError("duplicate-entry", place)
    return made
