"""Leases from DHCP servers' files: ISC dhcpd, Kea (memfile) and dnsmasq, of both IP versions.

These are journals: what is written of an address ends what was before it. Which field of a lease
names the account is told; a machine's address is no subscriber by itself.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from html import unescape

from icrstore.collector.leases.log import (
    SECOND,
    account_of,
    at_zone,
    network_of,
    seconds_of,
)
from icrstore.collector.leases.table import FOREVER, Session

FIELDS = ("hardware", "client-id", "circuit-id", "remote-id", "hostname", "duid")

Network = tuple[bytes, int]
Fields = dict[str, str]
_SUB_OPTIONS = {1: "circuit-id", 2: "remote-id"}  # RFC 3046, section 2.0


class Journal:
    """The leases of each network by when they began; a `log.Log`."""

    def __init__(self, account: str) -> None:
        self.noticed: Counter[str] = Counter()
        self._account = account
        self._held: dict[Network, dict[int, tuple[str | None, int]]] = defaultdict(dict)

    def feed(self, lines: Iterable[str], written: int) -> None:
        raise NotImplementedError

    def put(self, network: str, start: int, end: int, fields: Fields) -> None:
        try:
            key = network_of(network)
        except ValueError:
            self.noticed["addresses that are none"] += 1
            return
        is_held = end > start
        account = account_of(fields.get(self._account), self.noticed) if is_held else None
        # The last entry of one beginning is the one that stands.
        self._held[key][start] = (account, end)

    def sessions(self) -> list[Session]:
        made = []
        for network, leases in self._held.items():
            starts = sorted(leases)
            for start, following in zip(starts, [*starts[1:], FOREVER], strict=True):
                account, end = leases[start]
                made.append(Session(*network, account, start, min(end, following)))
        return made

    def forget(self, before: int) -> None:
        for network, leases in list(self._held.items()):
            kept = {start: held for start, held in leases.items() if held[1] >= before}
            self._held[network] = kept
            if not kept:
                del self._held[network]


_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_BLOCK = re.compile(r"^\s*(lease|ia-na|ia-ta|ia-pd|iaaddr|iaprefix)\s+(.+?)\s*\{\s*$")
_STATED = re.compile(r"^\s*(?:set\s+|option\s+)?([\w.-]+(?: state| ethernet)?)\s*=?\s+(.*?);\s*$")
_OUTERMOST = ("lease", "ia-na", "ia-ta", "ia-pd")
_RENAMED = {"hardware ethernet": "hardware", "uid": "client-id", "client-hostname": "hostname",
            "agent.circuit-id": "circuit-id", "agent.remote-id": "remote-id"}  # fmt: skip


class Isc(Journal):
    """``dhcpd.leases`` and ``dhcpd6.leases``; their times are UTC unless a zone is told."""

    def __init__(self, account: str, zone: tzinfo | None = None) -> None:
        super().__init__(account)
        self._zone = zone or UTC
        self._blocks: list[tuple[str, Fields]] = []

    def feed(self, lines: Iterable[str], written: int) -> None:
        for line in lines:
            if found := _BLOCK.match(line):
                if found[1] in _OUTERMOST:
                    # What lies open was cut off: nothing of it is said of what comes after it.
                    self._blocks.clear()
                outer = dict(self._blocks[-1][1]) if self._blocks else Fields()
                if found[1] in ("ia-na", "ia-ta", "ia-pd"):
                    # IAID and DUID in one: four octets, then the DUID.
                    outer["duid"] = _octets(found[2])[4:].hex(":")
                self._blocks.append((found[2], outer))
            elif line.strip() == "}" and self._blocks:
                self._close(*self._blocks.pop())
            elif self._blocks and (found := _STATED.match(line)):
                self._blocks[-1][1][_RENAMED.get(found[1], found[1])] = _said(found[2])

    def _close(self, name: str, fields: Fields) -> None:
        if "binding state" not in fields:
            return
        start = self._moment(fields.get("starts", fields.get("cltt", "")))
        end = self._moment(fields.get("ends", "never"))
        if start is None or end is None:
            self.noticed["entries without a time"] += 1
            return
        was_held = fields["binding state"] in ("active", "free", "expired", "released")
        self.put(name, start, end if was_held else start, fields)

    def _moment(self, text: str) -> int | None:
        """``4 2026/11/26 08:00:00``, ``epoch 1764144000`` or ``never``."""
        if text == "never":
            return FOREVER
        if found := re.match(r"epoch ([0-9]+)", text):
            since = seconds_of(found[1])
            return None if since is None else since * SECOND
        try:
            return at_zone(datetime.fromisoformat(text[2:].replace("/", "-")), self._zone)
        except ValueError:
            return None


def _octets(quoted: str) -> bytes:
    """A string of dhcpd: in quotes with octal escapes."""
    found = _QUOTED.match(quoted)
    text = found[1] if found else quoted
    made = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8) & 255), text)
    return re.sub(r"\\(.)", r"\1", made).encode("latin-1", "replace")


def _said(value: str) -> str:
    return _text(_octets(value)) if value.startswith('"') else value


def _text(octets: bytes) -> str:
    """As it reads, if it does; else in hex."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return octets.hex(":")
    return text if text.isprintable() and text else octets.hex(":")


_KEAS = {"address", "valid_lifetime", "expire"}


class Kea(Journal):
    """Kea's ``kea-leases4.csv`` and ``kea-leases6.csv``, by the header's names."""

    def __init__(self, account: str) -> None:
        super().__init__(account)
        self._header: list[str] = []

    def feed(self, lines: Iterable[str], written: int) -> None:
        for line in lines:
            # Kea writes a comma in a value as &#x2c, and no quotes.
            values = line.rstrip("\r\n").split(",")
            # A name in any other column may be a machine's own.
            if values[0] == "address":
                has_all = set(values) >= _KEAS and len(set(values)) == len(values)
                self._header = values if has_all else []
            elif len(values) == len(self._header):
                self._row(dict(zip(self._header, values, strict=True)))
            elif values != [""]:
                self.noticed["lines that are none of Kea's"] += 1

    def _row(self, row: Fields) -> None:
        end, lasting = seconds_of(row["expire"]), seconds_of(row["valid_lifetime"])
        if end is None or lasting is None:
            self.noticed["entries without a time"] += 1
            return
        prefix = row.get("prefix_len", "")
        is_prefix = row.get("lease_type") == "2"
        network = f"{row['address']}/{prefix}" if is_prefix and prefix else row["address"]
        fields = {"hardware": row.get("hwaddr", ""), "client-id": row.get("client_id", ""),
                  "duid": row.get("duid", ""), "hostname": row.get("hostname", ""),
                  **_relayed(row.get("user_context", ""))}  # fmt: skip
        # Without a lifetime it was deleted at some time after it began: then it is nobody's since.
        ends = FOREVER if lasting == 0xFFFFFFFF else end * SECOND
        held = row.get("state", "0") in ("0", "2", "3") and lasting > 0
        start = (end - lasting) * SECOND
        self.put(network, start, ends if held else start, fields)


def _relayed(context: str) -> Fields:
    """What the relay agent said (RFC 3046), out of Kea's user context."""
    try:
        said = json.loads(unescape(context))["ISC"]["relay-agent-info"]
        hexadecimal = said if isinstance(said, str) else said["sub-options"]
        octets = bytes.fromhex(hexadecimal.removeprefix("0x"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return dict(_sub_options(octets))


def _sub_options(octets: bytes) -> Iterator[tuple[str, str]]:
    while len(octets) >= 2:
        kind, size = octets[0], octets[1]
        if kind in _SUB_OPTIONS:
            yield _SUB_OPTIONS[kind], _text(octets[2 : 2 + size])
        octets = octets[2 + size :]


class Dnsmasq(Journal):
    """``dnsmasq.leases``: who holds what now, and until when; since when it does not say.

    So a lease is known from the time at which the file was written, and what a later file has no
    more was held until then.
    """

    def __init__(self, account: str) -> None:
        super().__init__(account)
        self._present: set[str] = set()

    def feed(self, lines: Iterable[str], written: int) -> None:
        present = set()
        for line in lines:
            words = line.split()
            if len(words) != 5:
                continue
            _, machine, address, hostname, client = words
            present.add(address)
            if (end := seconds_of(words[0])) is None:
                self.noticed["entries without a time"] += 1
                continue
            fields = {"hostname": hostname, "client-id": client}
            if ":" not in address:
                fields["hardware"] = machine
            self.put(address, written, end * SECOND if end else FOREVER, fields)
        for address in self._present - present:
            self.put(address, written, written, {})
        self._present = present
