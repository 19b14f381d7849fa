"""Leases from RADIUS accounting (RFC 2866): FreeRADIUS ``detail`` files, or attributes as text.

An entry is lines ``Name = value`` up to a blank one. A session holds its addresses and prefixes
from its Start to its Stop. A Stop that got lost is normal: the next Start on that address ends the
session, and so does an Accounting-On or Off of its NAS. Where its own later entries say that it
went on, nobody can say whose the address was.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from icrstore.collector.leases.log import (
    SECOND,
    account_of,
    at_zone,
    network_of,
    seconds_of,
)
from icrstore.collector.leases.table import FOREVER, Session

ACCOUNT = "User-Name"
_ADDRESSES = (
    "Framed-IP-Address", "Framed-IPv6-Address", "Framed-IPv6-Prefix", "Delegated-IPv6-Prefix"
)  # fmt: skip
_NAS = ("NAS-Identifier", "NAS-IP-Address", "NAS-IPv6-Address")
_OTHERS = (
    "Acct-Status-Type", "Acct-Session-Id", "Acct-Session-Time", "Event-Timestamp", "Timestamp",
    "Acct-Delay-Time",
)  # fmt: skip
_STATUS = {"1": "start", "2": "stop", "3": "interim-update", "7": "accounting-on",
           "8": "accounting-off", "alive": "interim-update"}  # fmt: skip
_TIME = re.compile(r"^(\w{3}) +(\d\d?) (\d{4}) (\d\d):(\d\d):(\d\d)\s*([A-Za-z]*)$")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UTC = ("UTC", "GMT")
# What RFC 2865 (5.8) has a server write where the NAS or the peer is to choose.
_NO_ADDRESS = ("255.255.255.254", "255.255.255.255")

Network = tuple[bytes, int]
Entry = dict[str, list[str]]


@dataclass
class _Session:
    number: int  # in the order of the log, which decides within a second
    nas: str
    account: str | None
    start: int
    last: int
    stop: int | None = None
    networks: dict[Network, int] = field(default_factory=dict)  # each with when it began


class Radius:
    """Follows sessions by (NAS, Acct-Session-Id); a `log.Log`."""

    def __init__(self, account: str | None = None, zone: tzinfo | None = None) -> None:
        self.noticed: Counter[str] = Counter()
        self._account, self._zone = account or ACCOUNT, zone
        self._wanted = {self._account, *_ADDRESSES, *_NAS, *_OTHERS}
        self._current: dict[tuple[str, str], _Session] = {}
        # Sessions whose number their NAS has given to another since.
        self._earlier: list[_Session] = []
        self._entry: Entry = {}
        self._seen = 0

    def feed(self, lines: Iterable[str], written: int) -> None:
        for line in lines:
            name, is_attribute, value = line.partition("=")
            if is_attribute:
                # A tag or an operator may stand at the name: Tunnel-Type:0, Cisco-AVPair +=.
                name = name.strip().rstrip("+:").partition(":")[0].rstrip()
                if name in self._wanted:
                    self._entry.setdefault(name, []).append(value.strip().strip('"'))
            elif not line.strip():
                # An entry without the blank line after it may go on: it waits.
                self._take(self._entry)
                self._entry = {}
            else:
                # A detail file's line of date begins an entry: of one that was cut off nothing
                # is used, lest half of it go with half of another.
                self._entry = {}

    def sessions(self) -> list[Session]:
        all_ = [*self._current.values(), *self._earlier]
        starts: dict[Network, list[tuple[int, int]]] = defaultdict(list)
        for each in all_:
            for network, start in each.networks.items():
                starts[network].append((start, each.number))
        for moments in starts.values():
            moments.sort()
        made = [
            Session(*network, each.account, start, _end(each, starts[network]))
            for each in all_
            for network, start in each.networks.items()
        ]
        stops = [each.stop for each in all_ for _ in each.networks]
        lost = sum(
            stop is None and one.end != FOREVER for one, stop in zip(made, stops, strict=True)
        )
        if lost:
            self.noticed["leases without a Stop, ended by the next Start on their address"] = lost
        return made

    def forget(self, before: int) -> None:
        # Of one without a Stop the next Start decides, so it stays.
        def is_over(each: _Session) -> bool:
            return each.stop is not None and each.stop < before

        self._current = {key: each for key, each in self._current.items() if not is_over(each)}
        self._earlier = [each for each in self._earlier if not is_over(each)]

    def _take(self, entry: Entry) -> None:
        status = entry.get("Acct-Status-Type", [""])[0].lower()
        status = _STATUS.get(status, status)
        if status not in _STATUS.values():
            return
        moment = self._moment(entry)
        nas = "/".join(entry.get(name, [""])[0] for name in _NAS)
        if moment is None:
            self.noticed["entries without a time whose zone is known: tell it by --zone"] += 1
        elif status in ("accounting-on", "accounting-off"):
            self._restart(nas, moment)
        else:
            self._of_session(entry, status, nas, moment)

    def _restart(self, nas: str, moment: int) -> None:
        for each in self._current.values():
            if each.nas == nas and each.stop is None and each.last < moment:
                each.stop = moment

    def _of_session(self, entry: Entry, status: str, nas: str, moment: int) -> None:
        key = (nas, entry.get("Acct-Session-Id", [""])[0])
        session = self._current.get(key)
        if session and status == "start" and moment > session.last:
            self._earlier.append(session)
            session = None
        began = moment
        if session is None:
            # One whose Start is not here tells by itself how long it has lasted.
            began -= 0 if status == "start" else _whole(entry, "Acct-Session-Time") * SECOND
            account = account_of(entry.get(self._account, [None])[0], self.noticed)
            self._seen += 1
            session = self._current[key] = _Session(self._seen, nas, account, began, moment)
        session.last = max(session.last, moment)
        if status == "stop":
            session.stop = moment
        for network in self._networks(entry):
            session.networks.setdefault(network, began)

    def _networks(self, entry: Entry) -> Iterable[Network]:
        for text in (text for name in _ADDRESSES for text in entry.get(name, ())):
            if text in _NO_ADDRESS:
                continue
            try:
                yield network_of(text)
            except ValueError:
                self.noticed["addresses that are none"] += 1

    def _moment(self, entry: Entry) -> int | None:
        """When it happened at the NAS; else when the server had it, less its delay on the way."""
        told = entry.get("Event-Timestamp", [""])[0]
        if (since := seconds_of(told)) is not None:
            return since * SECOND
        if (moment := _written(told, self._zone)) is not None:
            return moment
        since = _whole(entry, "Timestamp") - _whole(entry, "Acct-Delay-Time")
        return since * SECOND if since > 0 else None


def _end(session: _Session, starts: list[tuple[int, int]]) -> int:
    """Its Stop, or the next Start on the same network after all that is known of it."""
    if session.stop is not None:
        return session.stop
    last = (session.last, session.number)
    return next((start for start, number in starts if (start, number) > last), FOREVER)


def _whole(entry: Entry, name: str) -> int:
    return seconds_of(entry.get(name, [""])[0]) or 0


def _written(text: str, zone: tzinfo | None) -> int | None:
    """``Nov 26 2026 08:00:00 UTC``. Other letters of a zone mean several: it must be told."""
    found = _TIME.match(text)
    if not found or found[1] not in _MONTHS:
        return None
    day, hour, minute, second = map(int, found.group(2, 4, 5, 6))
    month = _MONTHS.index(found[1]) + 1
    try:
        moment = datetime(int(found[3]), month, day, hour, minute, second)  # noqa: DTZ001 - next
    except ValueError:
        return None
    return at_zone(moment, UTC if found[7] in _UTC else zone)
