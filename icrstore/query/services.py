"""Purpose 2: which services does this account use?

The records that both keepers let the engine open, each distinct one counted once, by destination,
protocol and port, and by the name that the port has.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from icrstore.flow.schema import address_text
from icrstore.query.names import is_tunnel, service
from icrstore.query.records import Records, Written, numbers_of, write_here
from icrstore.seal.group import HAS_DESTINATION_PORT

Numbers = npt.NDArray[Any]

LIMITS = (
    "A record says that a connection began, not what was said, for how long, or by whom at home.",
    "A port's name is the service's usual one, not proof of what was used.",
    "Resolvers, search engines and shared hosts stand for many services at once.",
)
TUNNEL_LIMIT = "Tunnels or VPNs were used: what went through them is not in these records."

# A service as one number: its protocol, then its port, or what comes after every port.
_PORT_BITS = 17
_NO_PORT = 1 << 16
_SERVICE_BITS = 8 + _PORT_BITS


@dataclass(frozen=True)
class ServiceReport:
    """``records`` distinct records; ``collapsed`` more were equal to one of them."""

    records: int
    collapsed: int
    services: list[dict[str, Any]]
    by_service: list[dict[str, Any]]


@dataclass(frozen=True)
class _Lines:
    """N counts of records of a destination (its number in ``addresses``, 16 bytes each) and a
    service (as one number), with the times of the first and the last in nanoseconds."""

    addresses: Numbers
    destination: Numbers
    service: Numbers
    records: Numbers
    first: Numbers
    last: Numbers


_NONE = _Lines(np.zeros((0, 16), np.uint8), *(np.zeros(0, np.int64) for _ in range(5)))


class Tally:
    """What the records of one account add up to, whole hours after whole hours."""

    def __init__(self) -> None:
        self.records = self._rows = 0
        self._lines: list[_Lines] = []

    def add(self, records: Records) -> None:
        """More hours; none may come twice."""
        lines = _of_records(records)
        self.records += int(lines.records.sum())
        self._rows += len(records.observed_at)
        self._lines.append(lines)

    def join(self, other: "Tally") -> None:
        """What another tally has of other hours."""
        self.records += other.records
        self._rows += other._rows
        self._lines += other._lines

    def times(self) -> Numbers:
        """Those that the report tells, in nanoseconds: of each line the first, then of each the
        last. To be asked for, as the report is, once all hours are there."""
        return np.concatenate([self._settled.first, self._settled.last])

    def report(self, account: str, written: Written | None = None) -> ServiceReport:
        """``written``: its times as text; taken when all else is done."""
        return ServiceReport(
            records=self.records,
            collapsed=self._rows - self.records,
            by_service=_by_name(account, self._settled),
            services=_told(account, self._settled, written or write_here(self.times())),
        )

    @cached_property
    def _settled(self) -> _Lines:
        return _ordered(_together(self._lines))


def _of_records(records: Records) -> _Lines:
    rows, which = records.rows, records.distinct
    number, addresses = numbers_of(rows.addresses)
    has_port = (rows.services.flags & HAS_DESTINATION_PORT) != 0
    port = np.where(has_port, rows.services.destination_port.astype(np.int64), _NO_PORT)
    named = (rows.services.protocol.astype(np.int64) << _PORT_BITS) | port
    time = records.observed_at[which]
    destination, served = number[rows.destination[which]], named[rows.service[which]]
    return _summed(addresses, destination, served, None, time, time)


def _together(lines: list[_Lines]) -> _Lines:
    if len(lines) < 2:
        return lines[0] if lines else _NONE
    number, addresses = numbers_of(np.concatenate([one.addresses for one in lines]))
    starts = accumulate((len(one.addresses) for one in lines), initial=0)
    destination = [
        number[start : start + len(one.addresses)][one.destination]
        for start, one in zip(starts, lines, strict=False)
    ]
    others = zip(*((one.service, one.records, one.first, one.last) for one in lines), strict=True)
    return _summed(addresses, *map(np.concatenate, (destination, *others)))


def _summed(
    addresses: Numbers, destination: Numbers, served: Numbers, records: Numbers | None,
    first: Numbers, last: Numbers,
) -> _Lines:  # fmt: skip
    """A line for each destination and service; ``records``: one each if None."""
    line, distinct = numbers_of((destination.astype(np.int64) << _SERVICE_BITS) | served)
    made = _Lines(
        addresses=addresses,
        destination=distinct >> _SERVICE_BITS,
        service=distinct & ((1 << _SERVICE_BITS) - 1),
        records=np.bincount(line, records).astype(np.int64),
        first=np.full(len(distinct), np.iinfo(np.int64).max),
        last=np.full(len(distinct), np.iinfo(np.int64).min),
    )
    np.minimum.at(made.first, line, first)
    np.maximum.at(made.last, line, last)
    return made


def _ordered(lines: _Lines) -> _Lines:
    """The most used first; what was used as much in order."""
    high, low = lines.addresses.view(">u8").T[:, lines.destination]
    order = np.lexsort((lines.service, low, high, -lines.records))
    columns = (lines.destination, lines.service, lines.records, lines.first, lines.last)
    return _Lines(lines.addresses, *(column[order] for column in columns))


def _told(account: str, lines: _Lines, written: Written) -> list[dict[str, Any]]:
    raw, numbers = lines.addresses.tobytes(), lines.service.tolist()
    texts = [address_text(raw[at : at + 16]) for at in range(0, len(raw), 16)]
    # A copy takes half as long as a line made of its fields.
    blank = {number: _blank(account, number) for number in set(numbers)}
    told = [blank[number].copy() for number in numbers]
    columns = zip(told, lines.destination.tolist(), lines.records.tolist(), strict=True)
    for line, destination, records in columns:
        line["destination_address"], line["records"] = texts[destination], records
    # The times come last: they may be written elsewhere meanwhile.
    times = written()
    for line, first, last in zip(told, times[: len(told)], times[len(told) :], strict=True):
        line["first"], line["last"] = first, last
    return told


def _blank(account: str, number: int) -> dict[str, Any]:
    """A line of a service, but for where, how often and when."""
    return {
        "account": account, "destination_address": "", **_fields(number),
        "records": 0, "first": "", "last": "",
    }  # fmt: skip


def _fields(number: int) -> dict[str, Any]:
    """What a line says of its service: the protocol, the name, and the port if there is one."""
    protocol, place = number >> _PORT_BITS, number & ((1 << _PORT_BITS) - 1)
    port = None if place == _NO_PORT else place
    made = {"protocol": protocol, "service": service(protocol, port)}
    return made if port is None else {**made, "destination_port": port}


def limits(reports: Iterable[ServiceReport]) -> list[str]:
    """What the report cannot show, to stand beside it."""
    tunnels = any(is_tunnel(row["service"]) for one in reports for row in one.by_service)
    return [*LIMITS, TUNNEL_LIMIT] if tunnels else list(LIMITS)


def _by_name(account: str, lines: _Lines) -> list[dict[str, Any]]:
    """By the name that several services may share; a destination counts once for each."""
    of_line, served = numbers_of(lines.service)
    names: dict[str, int] = {}
    of_service = [
        names.setdefault(_fields(number)["service"], len(names)) for number in served.tolist()
    ]
    name = np.array(of_service, np.int64)[of_line]
    _, places = numbers_of((name << 32) | lines.destination)
    columns = zip(
        names, np.bincount(name, lines.records).astype(np.int64).tolist(),
        np.bincount(places >> 32).tolist(), strict=True,
    )  # fmt: skip
    return [
        {"account": account, "service": name, "records": records, "destinations": destinations}
        for name, records, destinations in sorted(columns, key=lambda one: (-one[1], one[0]))
    ]
