"""What a service reads: sections of the config, each checked when it is read.

Every refusal names the setting, as ``tail[0].format``, and its mend.
"""

import glob
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path, PurePath
from typing import Any, Literal
from urllib.parse import urlsplit

import pyarrow as pa

from icrstore.flow.errors import FlowRefused
from icrstore.flow.readers import FORMATS, maps, zone_named
from icrstore.flow.readers.maps import Map
from icrstore.flow.validate import account_failures
from icrstore.warrant.strict import Fields

Network = IPv4Network | IPv6Network

_GIVEN = ("format", "zone", "map", "account", "leases", "lease_account")
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
# What is not read by lines cannot be read on from a place in the middle.
NOT_LINES = frozenset({"arrow", "exports", "pcap"})


@dataclass(frozen=True)
class Given:
    """What an input does not say of itself: its format, and whose records they are."""

    format: str | None = None
    zone: tzinfo | None = None
    map: Map | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    account: str | None = None
    leases: Path | None = None
    lease_account: str | None = None

    @classmethod
    def read(cls, fields: Fields, place: str, folder: Path) -> "Given":
        """Raises ValueError or `StatementError`, naming the setting."""
        account, leases = _text(fields, "account"), _text(fields, "leases")
        if account and leases:
            raise ValueError(f"{place}.account: leases name the accounts: leave out one of them")
        return cls(
            format=_format(_text(fields, "format"), place),
            zone=_zone(_text(fields, "zone"), place),
            **_map(fields, place),
            account=_account(account, place),
            leases=folder / leases if leases else None,
            lease_account=_text(fields, "lease_account"),
        )


@dataclass(frozen=True)
class Tail:
    """Files to follow: patterns of paths, the format of all of them."""

    patterns: tuple[str, ...]
    given: Given

    @property
    def name(self) -> str:
        """By which the journal knows it, wherever it stands in the config."""
        return "tail " + hashlib.sha256("\0".join(sorted(self.patterns)).encode()).hexdigest()[:16]

    def means(self, path: str) -> bool:
        """Whether one of its patterns is of this path."""
        return any(PurePath(path).match(pattern) for pattern in self.patterns)

    @classmethod
    def read(cls, told: Any, place: str, folder: Path) -> "Tail":
        only(told, ("files", *_GIVEN), place)
        fields = Fields(told, place)
        patterns = fields.items("files", _item, least=1)
        given = Given.read(fields, place, folder)
        if given.format is None:
            raise ValueError(f"{place}.format: missing: a file that grows is not guessed at")
        if given.format in NOT_LINES:
            raise ValueError(
                f"{place}.format: {given.format} is not read by lines: push its files when they"
                " are whole"
            )
        return cls(tuple(str(folder / pattern) for pattern in patterns), given)


@dataclass(frozen=True)
class Listen:
    """An address to listen at: ``kind`` of what comes there, and who may send it."""

    kind: Literal["netflow", "syslog"]
    transport: Literal["udp", "tcp"]
    address: tuple[str, int]
    allowed: tuple[Network, ...]
    given: Given

    @classmethod
    def read(cls, told: Any, place: str, folder: Path) -> "Listen":
        only(told, ("netflow", "syslog", "from", *_GIVEN), place)
        if ("netflow" in told) == ("syslog" in told):
            raise ValueError(f'{place}: write netflow = "udp://..." or syslog = "udp://..."')
        fields = Fields(told, place)
        kind: Literal["netflow", "syslog"] = "netflow" if "netflow" in told else "syslog"
        transport, address = _endpoint(fields.text(kind), f"{place}.{kind}")
        if kind == "netflow" and transport == "tcp":
            raise ValueError(f"{place}.netflow: exports come by UDP: write udp://...")
        given = Given.read(fields, place, folder)
        if kind == "syslog" and (given.format is None or given.format in NOT_LINES):
            raise ValueError(f"{place}.format: name the format of syslog's messages")
        return cls(kind, transport, address, _networks(fields, place), given)

    @property
    def name(self) -> str:
        """For people, and by which the journal knows it."""
        host, port = self.address
        return f"{self.kind} {self.transport}://{host}:{port}"

    def is_allowed(self, sender: str) -> bool:
        """Whether an address may send; an IPv4 one may be written as an IPv6 socket shows it."""
        address = ip_address(sender.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.allowed)


def matches(pattern: str) -> list[str]:
    """The paths that a pattern of the config means now."""
    return glob.glob(pattern)  # noqa: PTH207 - an absolute pattern, which Path.glob refuses


def host_and_port(text: str, place: str) -> tuple[str, int]:
    """An address and port as 127.0.0.1:9464 or [::1]:9464. Raises ValueError."""
    host, _, port = text.rpartition(":")
    try:
        return str(ip_address(host.strip("[]"))), _port(port)
    except ValueError:
        raise ValueError(f"{place}: not an address and port: write 127.0.0.1:9464") from None


def only(told: Any, names: tuple[str, ...], place: str) -> None:
    """Raises ValueError for a setting that nobody reads: it may be a misspelt one."""
    if not isinstance(told, dict):
        raise ValueError(f"{place or 'the config'}: not a table of settings")  # noqa: TRY004
    for name in told:
        if name not in names:
            shown = f"{place}.{name}" if place else name
            raise ValueError(f"{shown[:80]!r}: not a setting: one of {', '.join(names)}")


def _text(fields: Fields, name: str) -> str | None:
    return fields.text(name) if fields.has(name) else None


def _item(value: Any, place: str) -> str:
    return Fields({"item": value}, place).text("item", 4096)


def _format(format: str | None, place: str) -> str | None:
    if format is not None and format not in FORMATS:
        raise ValueError(f"{place}.format: not a format: one of {', '.join(FORMATS)}")
    return format


def _zone(zone: str | None, place: str) -> tzinfo | None:
    if zone is None:
        return None
    try:
        return zone_named(zone)
    except ValueError as error:
        raise ValueError(f"{place}.zone: {error}") from None


def _map(fields: Fields, place: str) -> dict[str, Any]:
    """A map by its name or file, or a table of this input's own columns."""
    if not fields.has("map"):
        return {}
    told = fields.take("map")
    try:
        if isinstance(told, str):
            return {"map": maps.load(told)}
        if isinstance(told, dict) and all(isinstance(each, str) for each in told.values()):
            maps.own().renamed(told)
            return {"columns": told}
    except FlowRefused as error:
        raise ValueError(f"{place}.map: {error}") from None
    mend = 'write a name as "pmacct", a file, or { source_address = "ip_src", ... }'
    raise ValueError(f"{place}.map: not a map: {mend}")


def _account(account: str | None, place: str) -> str | None:
    if account is not None:
        for reason, failing in account_failures(pa.array([account], pa.string()), required=True):
            if failing.any():
                raise ValueError(f"{place}.account: this account cannot be retained: {reason}")
    return account


def _endpoint(text: str, place: str) -> tuple[Literal["udp", "tcp"], tuple[str, int]]:
    parts = urlsplit(text)
    if parts.scheme not in ("udp", "tcp") or parts.path or parts.query:
        raise ValueError(f"{place}: write udp://127.0.0.1:2055, or tcp://... for syslog")
    return "udp" if parts.scheme == "udp" else "tcp", host_and_port(parts.netloc, place)


def _networks(fields: Fields, place: str) -> tuple[Network, ...]:
    if not fields.has("from"):
        return _LOOPBACK
    try:
        return tuple(ip_network(each) for each in fields.items("from", _item, least=1))
    except ValueError:
        raise ValueError(f'{place}.from: not a list of networks: write ["10.0.0.0/8"]') from None


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise ValueError("not a port")
    return int(text)
