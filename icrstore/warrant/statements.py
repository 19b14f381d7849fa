"""The statements that people sign, each parsed strictly into one frozen value.

A value's `to_fields` gives what `Envelope.sign` writes; `parse` takes an envelope whose signature
the caller checks (`icrstore.warrant.authority`), or has checked.
"""

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from itertools import pairwise
from typing import Any, Literal, get_args

from icrstore.seal.encode import text as encoded_text
from icrstore.seal.epoch import Kind
from icrstore.seal.pools import ALL_PORTS, DEFAULT, Pool, Pools
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.strict import Fields, StatementError, encode_base64, hours_between, time_text
from icrstore.wire import hpke

Purpose = Literal["resolve", "services", "reached"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
GRANT_ROLES = ("applicant", "approver", "investigator", "sealer", "collector", "oversight")
MOST_HOURS = 24 * 366
# A disclosure names no more, each in a leaf of its own with its proof.
MOST_ACCOUNTS = 1000
MOST_POOLS = 4096

_CIDR = re.compile(r"[0-9a-fA-F:.]+/\d{1,3}", re.ASCII)


@dataclass(frozen=True)
class AccountSelector:
    account: str

    @property
    def kind(self) -> Kind:
        return "account"

    @property
    def subject(self) -> bytes:
        """What the commitment in a keeper's leaf hides."""
        return encoded_text(self.account)

    def sealed_names(self, pools: Pools) -> tuple[bytes, ...]:
        """The `sel` values under which an epoch holds this selector, by the pools of its hour."""
        return (encoded_text(self.account),)

    def to_fields(self) -> dict[str, Any]:
        return {"account": self.account}


@dataclass(frozen=True)
class AddressSelector:
    """Who held this address (16 bytes) and port, by this protocol, at this time, give or take.

    Without a port, all that has none is looked at, and where the address is not lent by blocks of
    ports, all of it."""

    address: bytes
    port: int | None
    protocol: int
    at: datetime
    tolerance: timedelta

    @property
    def kind(self) -> Kind:
        return "address"

    @property
    def subject(self) -> bytes:
        # The pools may change within the hours asked for: it goes by the default always.
        return DEFAULT.selector(self.address, self.port)

    def sealed_names(self, pools: Pools) -> tuple[bytes, ...]:
        return pools.selectors(self.address, self.port)

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
class PoolPolicy:
    """How a tenant's public addresses are grouped from an hour on; signed by the tenant's root."""

    tenant: str
    effective: datetime
    pools: tuple[Pool, ...]

    @classmethod
    def parse(cls, envelope: Envelope) -> "PoolPolicy":
        fields = envelope.fields()
        # What else a tenant may rule is another kind of policy, with fields of its own.
        fields.one_of("about", ("pools",))
        made = cls(
            tenant=fields.text("tenant", 64),
            effective=fields.hour("effective"),
            pools=fields.items("pools", read_pool, 0, MOST_POOLS),
        )
        fields.finish()
        return made

    def to_fields(self) -> dict[str, Any]:
        return {
            "v": 1,
            "about": "pools",
            "tenant": self.tenant,
            "effective": time_text(self.effective),
            "pools": [
                {"cidr": pool.cidr, "prefix": pool.prefix, "block": 1 << pool.log2_block}
                for pool in self.pools
            ],
        }


def pools_of(envelope: Envelope) -> tuple[datetime, Pools]:
    """The hour from which a pool policy holds, and its pools. Raises `StatementError`."""
    policy = PoolPolicy.parse(envelope)
    return policy.effective, Pools(envelope.sha256, policy.pools)


def read_account(value: Any, place: str) -> str:
    """An account as it may stand in a record: 1 to 64 bytes of NFC, no control characters."""
    return Fields({"account": value}, place).text("account", 64)


def _purpose(fields: Fields) -> Purpose:
    value = fields.one_of("purpose", PURPOSES)
    return next(purpose for purpose in PURPOSES if purpose == value)


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
        port=fields.integer_or_null("port", 0, 65535),
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
    _network(cidr, place)
    made = Target(cidr, fields.time("from"), fields.time("to"))
    fields.finish()
    if made.end <= made.first:
        raise StatementError("ends-before-it-begins", place)
    return made


def read_pool(value: Any, place: str) -> Pool:
    """A pool as a policy says it: ``{cidr, prefix, block}``, the block in ports."""
    fields = Fields(value, place)
    network = _pool_network(fields.text("cidr", 49), place)
    prefix = fields.integer("prefix", network.prefixlen, network.max_prefixlen)
    block = fields.integer("block", 1, 1 << ALL_PORTS)
    fields.finish()
    if block & (block - 1):
        raise StatementError("not-a-power-of-two", f"{place}.block")
    pool = Pool(str(network), prefix, block.bit_length() - 1)
    if pool.has_blocks and pool.is_of_networks:
        raise StatementError("blocks-need-whole-addresses", f"{place}.prefix")
    return pool


def _pool_network(cidr: str, place: str) -> IPv4Network | IPv6Network:
    """In its one spelling; and IPv4 addresses are no pool of IPv6, which would never meet them."""
    network = _network(cidr, f"{place}.cidr")
    if str(network) != cidr or str(network).startswith("::ffff:"):
        raise StatementError("not-the-usual-spelling", f"{place}.cidr")
    return network


def _network(cidr: str, place: str) -> IPv4Network | IPv6Network:
    # Python would also take a netmask, a hostmask, a zone or no length: each another reading.
    if not _CIDR.fullmatch(cidr) or not _is_network(cidr):
        # Raised here and not below: the library's message repeats the network.
        raise StatementError("not-a-network", place)
    return ipaddress.ip_network(cidr)


def _is_network(cidr: str) -> bool:
    try:
        ipaddress.ip_network(cidr)
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
