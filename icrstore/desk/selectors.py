"""What people type to say whom and what a warrant or a request is about."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from icrstore.seal.epoch import HOUR, hour_start
from icrstore.shell.stop import USAGE, Stop
from icrstore.warrant.statements import (
    AccountSelector,
    AddressSelector,
    HourRange,
    Selector,
    Target,
    read_selector,
    read_target,
)
from icrstore.warrant.strict import StatementError

TOLERANCE_SECONDS = 60
ADDRESS_FORM = "ADDRESS,PORT,PROTOCOL,TIME[,SECONDS]"
TARGET_FORM = "NETWORK[,FROM,TO]"
_ADDRESS_EXAMPLE = "198.51.100.200,2001,tcp,2026-11-22T21:25:00Z"
_TARGET_EXAMPLE = "192.0.2.0/24,2026-11-22T00:00:00Z,2026-11-23T00:00:00Z"
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58}


def selectors_of(accounts: Sequence[str], addresses: Sequence[str]) -> tuple[Selector, ...]:
    """In the order typed. Raises `Stop`, as all that reads here does."""
    return (*map(AccountSelector, accounts), *map(address_selector, addresses))


def address_selector(typed: str) -> Selector:
    """``198.51.100.200,2001,tcp,2026-11-22T21:25:00Z``, give or take a minute or SECONDS; without
    a port (``198.51.100.200,,tcp,...``) whoever used the address by that protocol."""
    address, port, protocol, at, seconds = _parts(typed, 5, _ADDRESS_EXAMPLE)
    fields = {
        "address": address,
        "port": _port(port),
        "protocol": _PROTOCOLS.get(protocol or "", _number(protocol)),
        "at": at,
        "tolerance_seconds": TOLERANCE_SECONDS if seconds is None else _number(seconds),
    }
    try:
        return read_selector(fields, "--address")
    except StatementError as error:
        raise _misread(error, _ADDRESS_EXAMPLE) from None


def target(typed: str, hours: HourRange) -> Target:
    """``192.0.2.0/24,FROM,TO``; of all the warrant's hours where no times are typed."""
    cidr, first, end = _parts(typed, 3, _TARGET_EXAMPLE)
    times = hours.to_fields() if first is end is None else {"from": first, "to": end}
    try:
        return read_target({"cidr": cidr, **times}, "--target")
    except StatementError as error:
        raise _misread(error, _TARGET_EXAMPLE) from None


def hours_of(selectors: Sequence[Selector]) -> tuple[HourRange, ...]:
    """The hours that the times of these addresses can fall in, as few as there are."""
    touched: set[datetime] = set()
    for each in selectors:
        if isinstance(each, AddressSelector):
            hour = hour_start(each.at - each.tolerance)
            while hour <= each.at + each.tolerance:
                touched.add(hour)
                hour += HOUR
    made: list[HourRange] = []
    for hour in sorted(touched):
        if made and made[-1].end == hour:
            made[-1] = HourRange(made[-1].first, hour + HOUR)
        else:
            made.append(HourRange(hour, hour + HOUR))
    return tuple(made)


def address_text(shown: Mapping[str, Any]) -> str:
    """``198.51.100.200 tcp/2001 at 2026-11-22T21:25:00Z, give or take 60 s``, from its fields."""
    where = f"{shown['address']} {port_text(shown['protocol'], shown['port'])}"
    return f"{where} at {shown['at']}, give or take {shown['tolerance_seconds']} s"


def target_text(shown: Mapping[str, Any]) -> str:
    """``192.0.2.0/24 from 2026-11-22T00:00:00Z to 2026-11-23T00:00:00Z``, from its fields."""
    return f"{shown['cidr']} from {shown['from']} to {shown['to']}"


def port_text(protocol: int, port: int | None) -> str:
    """``tcp/993``; without a port only the protocol."""
    names = {number: name for name, number in _PROTOCOLS.items()}
    name = names.get(protocol, f"protocol {protocol}")
    return name if port is None else f"{name}/{port}"


def _parts(typed: str, most: int, example: str) -> list[str | None]:
    parts = typed.split(",")
    if len(parts) > most:
        raise Stop(USAGE, f"too many commas: write it as {example}")
    return [*parts, *[None] * (most - len(parts))]


def _port(typed: str | None) -> int | str | None:
    """Null where none is typed; what is no number stays as it is, to be refused."""
    number = _number(typed)
    return (typed or None) if number is None else number


def _number(typed: str | None) -> int | None:
    return int(typed) if typed and re.fullmatch(r"\d{1,6}", typed, re.ASCII) else None


def _misread(error: StatementError, example: str) -> Stop:
    return Stop(USAGE, f"{error}: write it as {example}")
