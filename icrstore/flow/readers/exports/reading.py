"""Rows of exports as a record's columns: what is a connection, what a NAT event, what neither."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...elements import ADDRESS, NAT_EVENTS, PORT
from ...schema import PORT_PROTOCOLS, Column, address_bytes, event_schema, record_schema
from ..tally import Tally
from . import elements as e
from . import times
from .blocks import LARGEST_PORT, Blocks, spread
from .columns import V4_MAPPED, Mask, Numbers, Octets, Rows, Unsigned
from .names import name_of

_PORTED = np.array([number in PORT_PROTOCOLS for number in range(256)])
_KEPT = e.KEPT | times.TIMES | e.PADDING


class Read(NamedTuple):
    """Connections, with when each was seen last, and NAT events; times in nanoseconds."""

    connections: pa.RecordBatch
    ends: Numbers
    events: pa.RecordBatch


def read(rows: Rows, tally: Tally) -> Read:
    """Each row is in one of the batches, or counted once by why it is in neither."""
    fields = _Fields(rows)
    is_event, others = _kinds(rows, fields)
    left = np.ones(len(rows), np.bool_)
    for reason, failing in [*others, *_failures(rows, fields, is_event)]:
        tally.drop(reason, int((failing & left).sum()))
        left &= ~failing
    _leave_out(rows, int(left.sum()), tally)
    tally.drop("sampled", int((is_sampled(rows) & left).sum()))
    plain, event = left & ~is_event, left & is_event
    return Read(
        _connections(fields, plain),
        times.of_ends(rows, fields.began)[plain],
        _events(rows, fields, event),
    )


def is_sampled(rows: Rows) -> Mask:
    """Which rows tell that not every packet was looked at, so that connections are missing."""
    of, passed = rows.first_number(e.SAMPLED_OF), rows.first_number(e.SAMPLED_PASSED_OVER)
    none: Mask = np.zeros(len(rows), np.bool_)
    return (none if of is None else of > 1) | (none if passed is None else passed > 0)


def _leave_out(rows: Rows, count: int, tally: Tally) -> None:
    if count:
        tally.leave_out((name_of(key) for key in rows.template.places if key not in _KEPT), count)


class _Fields:
    """What the rows say, before it is known what they are; None: nothing about it."""

    def __init__(self, rows: Rows) -> None:
        self.began = times.of_connections(rows)
        self.source = rows.address(e.SOURCE)
        # Of DS-Lite both are told: the IPv6 address is the subscriber's, the other is in the home.
        self.inside = rows.address(e.SOURCE, prefers_six=True)
        self.destination = rows.address(e.DESTINATION)
        self.outside = rows.address(e.POST_NAT_SOURCE)
        self.account = _accounts(rows)
        self.is_told: Mask = np.ones(len(rows), np.bool_)
        if (told := rows.texts(e.NAT_SUBSCRIBER)) is not None:
            self._take_nat_subscriber(told)
        self.nat_event = self._nat_event(rows)
        protocol = rows.first_number(e.PROTOCOL)
        self.protocol = np.full(len(rows), 256, np.uint64) if protocol is None else protocol
        self.is_ported = (self.protocol < 256) & _PORTED[self.protocol.astype(np.uint8)]
        self.source_port = rows.first_number(e.SOURCE_PORT)
        self.destination_port = rows.first_number(e.DESTINATION_PORT)
        self.outside_port = rows.first_number(e.POST_NAT_SOURCE_PORT)

    def _take_nat_subscriber(self, told: list[bytes]) -> None:
        """Nokia's: the inside address is in the text, and a source address is the outside one."""
        parsed = [_nat_subscriber(text) for text in told]
        self.account = pa.array([account for account, _ in parsed], pa.string())
        if self.outside is None:
            self.outside = self.source
        inside = b"".join(address for _, address in parsed)
        self.source = self.inside = np.frombuffer(inside, np.uint8).reshape(-1, 16)
        self.is_told = np.asarray(self.source.any(axis=1))

    def _nat_event(self, rows: Rows) -> Unsigned:
        """natEvent of each row as RFC 8158 numbers it; 0 is none."""
        none = np.zeros(len(rows), np.uint64)
        told = rows.first_number(e.NAT_EVENT)
        if told is None:
            return none
        has_both = ~_is_zero(self.inside, len(rows)) & ~_is_zero(self.outside, len(rows))
        told = np.where(has_both & (told == e.DRAFTS_CREATE), e.CREATES[0], told)
        return np.where(has_both & (told == e.DRAFTS_DELETE), e.DELETES[0], told)


def _kinds(rows: Rows, fields: _Fields) -> tuple[Mask, list[tuple[str, Mask]]]:
    """(which rows are NAT events, which are something else than events and connections)."""
    none = np.zeros(len(rows), np.bool_)
    nat, verdict = fields.nat_event, rows.first_number(e.FIREWALL_EVENT)
    realm = rows.first_number(e.NAT_REALM)
    is_event, is_limit = np.isin(nat, e.CREATES + e.DELETES), np.isin(nat, e.LIMITS)
    has = rows.template.places.keys()
    is_end = e.NAT_SUBSCRIBER in has and e.FLOW_END_REASON in has and not times.STARTS & has
    return is_event, [
        ("nat-limit", is_limit),
        ("from-outside", none if realm is None else is_event & (realm == e.FROM_OUTSIDE)),
        ("unknown-nat-event", (nat != 0) & ~is_event & ~is_limit),
        ("denied", none if verdict is None else (verdict == e.DENIED) & (nat == 0)),
        ("flow-end", np.full(len(rows), is_end)),
    ]


def _failures(rows: Rows, fields: _Fields, is_event: Mask) -> list[tuple[str, Mask]]:
    """Why a row cannot be what it is."""
    no_inside, no_outside = _is_zero(fields.inside, len(rows)), _is_zero(fields.outside, len(rows))
    no_flow = np.full(len(rows), fields.source is None or fields.destination is None)
    nobody = _is_zero(fields.source, len(rows)) & _is_zero(fields.destination, len(rows))
    blocks = Blocks.of(rows)
    return [
        ("bad-address", ~fields.is_told),
        ("no-addresses", np.where(is_event, no_inside | no_outside, no_flow | nobody)),
        ("bad-port", is_event & blocks.is_impossible),
        ("port-block-too-scattered", is_event & blocks.is_too_large),
        ("unknown-protocol", ~is_event & (fields.protocol > 255)),
    ]


def _connections(fields: _Fields, kept: Mask) -> pa.RecordBatch:
    schema = record_schema("ns")
    if not kept.any():
        return pa.RecordBatch.from_pylist([], schema)
    is_there = ~_is_zero(fields.outside, len(kept))
    is_translated = is_there & ~_same(fields.outside, fields.source, fields)
    columns = {
        "observed_at": _time(fields.began),
        "protocol": pa.array(fields.protocol.astype(np.uint8)),
        "source_address": _addresses(fields.source, kept),
        "source_port": _ports(fields.source_port, fields.is_ported),
        "destination_address": _addresses(fields.destination, kept),
        "destination_port": _ports(fields.destination_port, fields.is_ported),
        "post_nat_source_address": _addresses(fields.outside, is_translated),
        "post_nat_source_port": _ports(fields.outside_port, fields.is_ported & is_translated),
        "account": fields.account,
    }
    return _batch(columns, schema, kept)


def _events(rows: Rows, fields: _Fields, kept: Mask) -> pa.RecordBatch:
    schema = event_schema("ns")
    if not kept.any():
        return pa.RecordBatch.from_pylist([], schema)
    is_create = np.isin(fields.nat_event, e.CREATES)
    blocks = Blocks.of(rows)
    protocol = fields.protocol
    columns = {
        "observed_at": _time(times.of_events(rows)),
        "nat_event": pa.array(
            np.where(is_create, NAT_EVENTS["create"], NAT_EVENTS["delete"]).astype(np.uint8)
        ),
        "protocol": pa.array(protocol.astype(np.uint8), mask=(protocol == 0) | (protocol > 255)),
        "source_address": _addresses(fields.inside, kept),
        "source_port": _ports(fields.source_port, _said(fields.source_port, kept)),
        "destination_address": _addresses(
            fields.destination, ~_is_zero(fields.destination, len(rows))
        ),
        "destination_port": _ports(fields.destination_port, _said(fields.destination_port, kept)),
        "post_nat_source_address": _addresses(fields.outside, kept),
        "post_nat_source_port": _ports(fields.outside_port, _said(fields.outside_port, kept)),
        "port_range_start": _ports(blocks.first, blocks.first > 0),
        "port_range_end": _ports(blocks.last, blocks.first > 0),
        "account": fields.account,
    }
    return spread(_batch(columns, schema, kept), blocks, kept)


def _accounts(rows: Rows) -> Column:
    """The first account that the rows can have; null where it is empty or no text."""
    for key in e.ACCOUNTS:
        if (texts := rows.texts(key)) is not None:
            return pa.array([_text(text) or None for text in texts], pa.string())
    return pa.nulls(len(rows), pa.string())


def _nat_subscriber(told: bytes) -> tuple[str | None, bytes]:
    """(the account, if it has a name; 16 bytes of the inside address, zeros if it has none)."""
    name, _, address = _text(told).rpartition("@")
    try:
        inside = address_bytes(address)
    except ValueError:
        inside = bytes(16)
    return None if not name or name.endswith(e.NAMELESS_ENDING) else name, inside


def _text(octets: bytes) -> str:
    try:
        return octets.decode().strip()
    except UnicodeDecodeError:
        return ""


def _is_zero(addresses: Octets | None, count: int) -> Mask:
    """Which are 0.0.0.0, :: or not there."""
    if addresses is None:
        return np.ones(count, np.bool_)
    is_four = (addresses[:, :12] == V4_MAPPED).all(axis=1)
    is_zero: Mask = ~addresses[:, 12:].any(axis=1) & (is_four | ~addresses[:, :12].any(axis=1))
    return is_zero


def _same(outside: Octets | None, source: Octets | None, fields: _Fields) -> Mask:
    """Which addresses and ports are what they were before, so that nothing was translated."""
    if outside is None or source is None:
        return np.zeros(len(fields.began), np.bool_)
    same: Mask = (outside == source).all(axis=1)
    if fields.outside_port is not None and fields.source_port is not None:
        same &= ~fields.is_ported | (fields.outside_port == fields.source_port)
    return same


def _said(ports: Unsigned | None, kept: Mask) -> Mask:
    return kept if ports is None else ports > 0


def _time(nanoseconds: Numbers) -> Column:
    return pa.array(nanoseconds).cast(pa.timestamp("ns", tz="UTC"))


def _ports(ports: Unsigned | None, valid: Mask) -> Column:
    if ports is None:
        return pa.nulls(len(valid), PORT)
    return pa.array(ports.astype(np.uint16), mask=~(valid & (ports <= LARGEST_PORT)))


def _addresses(addresses: Octets | None, valid: Mask) -> Column:
    if addresses is None:
        return pa.nulls(len(valid), ADDRESS)
    content = pa.py_buffer(np.ascontiguousarray(addresses).tobytes())
    column: Column = pa.Array.from_buffers(ADDRESS, len(addresses), [None, content])
    return column if valid.all() else pc.if_else(pa.array(valid), column, pa.scalar(None, ADDRESS))


def _batch(columns: dict[str, Column], schema: pa.Schema, kept: Mask) -> pa.RecordBatch:
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    batch = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=nullable)
    good = batch if kept.all() else batch.filter(pa.array(kept))
    return good.cast(schema)
