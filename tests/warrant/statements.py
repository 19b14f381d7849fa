"""Strategies that draw every statement in all its breadth."""

import ipaddress
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from icrstore.seal.epoch import Epoch
from icrstore.seal.pools import Pool
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import (
    Disclosure,
    EngineKey,
    EpochStatement,
    IntakeKey,
    KeySchedule,
    Receipt,
)
from icrstore.warrant.statements import (
    GRANT_ROLES,
    PURPOSES,
    AccountSelector,
    AddressSelector,
    Grant,
    HourRange,
    PoolPolicy,
    Request,
    Target,
    Warrant,
)
from icrstore.wire import hpke

Statement = (
    Warrant | Request | Grant | EngineKey | Disclosure | EpochStatement | KeySchedule | IntakeKey
    | Receipt | PoolPolicy
)  # fmt: skip

KIND: dict[type[Statement], str] = {
    Warrant: "warrant",
    Request: "request",
    Grant: "grant",
    EngineKey: "engine-key",
    Disclosure: "disclosure",
    EpochStatement: "epoch",
    KeySchedule: "key-schedule",
    IntakeKey: "intake-key",
    Receipt: "receipt",
    PoolPolicy: "policy",
}

_printed = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))


def _texts(longest_bytes: int) -> st.SearchStrategy[str]:
    made = st.text(_printed, min_size=1, max_size=20)
    composed = made.map(lambda value: unicodedata.normalize("NFC", value))
    return composed.filter(lambda value: 0 < len(value.encode()) <= longest_bytes)


_names = _texts(64)
_times = st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
_hours = _times.map(lambda moment: moment.replace(minute=0, second=0, microsecond=0))
_starts = _times.filter(lambda moment: moment.year < 9990)
_spans = st.timedeltas(timedelta(microseconds=1), timedelta(days=300))
_of_16, _of_32 = st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)
# A public key is long and only its length is looked at here.
_hpke_keys = st.binary(min_size=4, max_size=4).map(lambda four: four * (hpke.PUBLIC_BYTES // 4))
_whole = st.integers(1, 24 * 366).map(lambda number: timedelta(hours=number))
_ranges = st.builds(
    lambda first, length: HourRange(first, first + length),
    _hours.filter(lambda hour: hour.year < 9990),
    _whole,
)
_addresses = st.one_of(
    st.ip_addresses(v=4).map(lambda address: bytes(10) + b"\xff\xff" + address.packed),
    st.ip_addresses(v=6).map(lambda address: address.packed),
)
_accounts = st.builds(AccountSelector, _names)
_address_selectors = st.builds(
    AddressSelector,
    _addresses,
    st.none() | st.integers(0, 65535),
    st.integers(0, 255),
    _times,
    st.integers(0, 3600).map(lambda seconds: timedelta(seconds=seconds)),
)


def _network(address: bytes, bits: int) -> str:
    mapped = address[:12] == bytes(10) + b"\xff\xff"
    packed = address[12:] if mapped else address
    return str(ipaddress.ip_network((packed, bits % (8 * len(packed) + 1)), strict=False))


_targets = st.builds(
    lambda cidr, first, span: Target(cidr, first, first + span),
    st.builds(_network, _addresses, st.integers(0, 128)),
    _starts,
    _spans,
)


@st.composite
def _warrants(draw: st.DrawFn) -> Warrant:
    purpose = draw(st.sampled_from(PURPOSES))
    selectors = _address_selectors if purpose == "resolve" else _accounts
    valid_from = draw(_starts)
    return Warrant(
        id=draw(_names),
        nonce=draw(_of_16),
        tenant=draw(_names),
        instrument=draw(_names),
        authority=draw(_names),
        purpose=purpose,
        basis=draw(_texts(1024)),
        selectors=tuple(draw(st.lists(selectors, min_size=1, max_size=3, unique=True))),
        targets=tuple(draw(st.lists(_targets, min_size=1, max_size=2)))
        if purpose == "reached" else (),
        hours=draw(_ranges),
        valid_from=valid_from,
        valid_to=valid_from + draw(_spans),
        max_requests=draw(st.integers(1, 10_000)),
        max_candidates=draw(st.integers(0, 100)),
        recipient_keys=tuple(draw(st.lists(_hpke_keys, min_size=1, max_size=2))),
    )  # fmt: skip


@st.composite
def _hour_lists(draw: st.DrawFn) -> tuple[HourRange, ...]:
    at = draw(_hours.filter(lambda hour: hour.year < 9990))
    made = []
    for gap, length in draw(
        st.lists(st.tuples(st.integers(0, 9), st.integers(1, 99)), min_size=1, max_size=4)
    ):
        first = at + timedelta(hours=gap)
        at = first + timedelta(hours=length)
        made.append(HourRange(first, at))
    return tuple(made)


_requests = st.builds(
    Request,
    _of_16,
    _of_32,
    st.lists(_accounts | _address_selectors, min_size=1, max_size=3, unique=True).map(tuple),
    st.lists(_targets, max_size=2).map(tuple),
    _hour_lists(),
    st.booleans(),
    _of_16,
    _times,
)
_grants = st.builds(
    lambda made, span: replace(made, not_after=made.not_before + span),
    st.builds(Grant, _names, st.sampled_from(GRANT_ROLES), _of_32, _names, _starts, _starts),
    _spans,
)
_epochs = st.builds(
    EpochStatement,
    st.builds(Epoch, _names, _hours, st.integers(0, 65535), _of_16),
    st.fixed_dictionaries({"operator": _of_32, "oversight": _of_32}),
    st.dictionaries(st.integers(0, 255), _of_32, min_size=1, max_size=3).map(
        lambda seals: {(role, number): sha256 for number, sha256 in seals.items()
                       for role in ("operator", "oversight")}
    ),
    st.integers(0, 1 << 40),
    _of_32,
    st.lists(_of_16, max_size=3, unique=True).map(tuple),
    _of_32,
    _times,
)  # fmt: skip

_pools = (
    st.builds(Pool, st.just("198.51.100.0/24"), st.integers(24, 32))
    | st.builds(
        Pool, st.sampled_from(("198.51.100.0/24", "0.0.0.0/0")), st.just(32), st.integers(0, 16)
    )
    | st.builds(Pool, st.just("2001:db8::/32"), st.integers(32, 128))
)

STATEMENTS: st.SearchStrategy[Statement] = st.one_of(
    _warrants(),
    _requests,
    _grants,
    st.builds(EngineKey, _names, _names, _hpke_keys, _times),
    st.dictionaries(_names, st.integers(0, 1 << 53), max_size=3).flatmap(
        lambda named: st.builds(
            Disclosure,
            _of_32,
            st.just(tuple(named)),
            st.just(tuple(named.values())),
            st.integers(0, 1 << 32),
            _of_32,
        )
    ),
    _epochs,
    st.builds(
        KeySchedule,
        _names,
        st.sampled_from(("operator", "oversight")),
        st.integers(0, 255),
        st.dictionaries(_times.map(lambda moment: moment.date().isoformat()), _hpke_keys,
                        min_size=1, max_size=3),
        _times,
    ),
    st.builds(IntakeKey, _hours, _hpke_keys),
    st.builds(PoolPolicy, _names, _hours, st.lists(_pools, max_size=3).map(tuple)),
    st.builds(
        Receipt,
        st.sampled_from(("accepted", "sealed")),
        _names,
        _names,
        _of_16,
        _names,
        st.integers(0, 10**15),
        st.integers(0, 65535),
        _hours,
        _hours,
        _times,
        _of_32,
        st.integers(0, 1 << 40),
        st.dictionaries(_names, st.integers(0, 1 << 40), max_size=3),
        st.lists(_of_16, max_size=3, unique=True).map(tuple),
    ),
)  # fmt: skip


def unsigned(value: Statement) -> Envelope:
    return Envelope.sign(KIND[type(value)], value.to_fields())
