"""Captures: the first packet of each connection is its record, as pf, tcpdump or a tap saw it.

A later packet of the same endpoints, either way, is of the same connection until nothing came for
the time in which a translator may forget it: 2 h 4 min of TCP (RFC 5382 section 5), 5 minutes of
anything else (RFC 4787 section 4.3). A SYN that repeats none of the last 5 minutes begins another.
In pf's log every packet begins a state and is a record.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..elements import ADDRESS, PORT
from ..first import KEY_BYTES, Bytes, First, Mask, Numbers, pair_keys
from ..schema import NANOSECONDS, TCP, Column, Unit, record_schema
from .exports import Templates, are_exports, read_packets
from .layers import PFLOG, NotRead, before_translation, connection
from .lines import Input
from .packets import Packet, packets
from .tally import Tally

PACKETS_AT_ONCE = 1 << 16
LOOKED_AT = 256
_TCP_IDLE_SECONDS, _IDLE_SECONDS = 7440, 300
# Of each kind; with more at once, those idle for longest are forgotten, and would be new again.
_MOST_FLOWS = 500_000

# One for each packet that shows a connection, before it is known whether it is the first.
_HAS_PORTS, _IS_SYN, _IS_STATE, _IS_TRANSLATED = 1, 2, 4, 8
_pack = Struct("<qBB16sH16sH16sH4s").pack
_ROW = np.dtype(
    [
        ("nanoseconds", "<i8"),
        ("protocol", "u1"),
        ("has", "u1"),
        ("source_address", "V16"),
        ("source_port", "<u2"),
        ("destination_address", "V16"),
        ("destination_port", "<u2"),
        ("post_nat_source_address", "V16"),
        ("post_nat_source_port", "<u2"),
        ("sequence", "V4"),
    ]
)
_Rows = npt.NDArray[Any]


def read_captures(
    source: Input, tally: Tally, templates: Templates | None = None
) -> Iterator[pa.RecordBatch]:
    """The connections that the packets of a capture show, or those that its exports tell of.

    A capture is one of exports if among its first 256 packets there are UDP datagrams and every one
    is a whole NetFlow or IPFIX message; `tally.read_as` says which it was taken for. What comes
    later and is no export does not change that, and is counted.
    """
    captured = packets(source, tally)
    first = list(islice(captured, LOOKED_AT))
    every = chain(first, captured)
    if are_exports(first):
        tally.read_as = "exports"
        return read_packets(every, tally, templates)
    tally.read_as = "packets"
    return connections(every, tally)


def connections(captured: Iterable[Packet], tally: Tally) -> Iterator[pa.RecordBatch]:
    """Batches in `record_schema`, each of what at most 65,536 packets begin.

    Each packet is counted once: as a record, as a later packet, or under why it is none.
    """
    flows, rest = _Flows(), iter(captured)
    while (rows := _rows(islice(rest, PACKETS_AT_ONCE), tally)) is not None:
        batch = _batch(rows)
        is_first = flows.begin(batch, rows)
        tally.drop("later-packet", int((~is_first).sum()))
        yield batch.filter(pa.array(is_first))


def _rows(some: Iterator[Packet], tally: Tally) -> _Rows | None:
    """What the packets show; None where there was none. No packet is held."""
    rows, octets = [], []
    for packet in some:
        octets.append(len(packet.data))
        try:
            rows.append(_row(packet))
        except NotRead as why:
            tally.drop(why.reason)
    if not octets:
        return None
    tally.left_out["octets"] += sum(octets)
    return np.frombuffer(b"".join(rows), _ROW)


def _row(packet: Packet) -> bytes:
    nanoseconds, link_type, data = packet
    found = connection(link_type, data)
    protocol, sent, has = found.protocol, found.ends, 0
    was, sequence = sent, b""
    if found.source_port is not None:
        has = _HAS_PORTS
        if protocol == TCP and (sequence := found.opens(data)):
            has |= _IS_SYN
    if link_type == PFLOG:
        has |= _IS_STATE
        was = before_translation(data) or sent
        # What has no ports has an ICMP id there.
        was = was if has & _HAS_PORTS else (was[0], 0, was[2], 0)
        if was[:2] != sent[:2]:
            has |= _IS_TRANSLATED
    return _pack(nanoseconds, protocol, has, *was, *sent[:2], sequence)


def _batch(rows: _Rows) -> pa.RecordBatch:
    times = rows["nanoseconds"]
    unit: Unit = "ns" if (times % NANOSECONDS["us"]).any() else "us"
    always = np.ones(len(rows), np.bool_)
    is_ported, is_translated = _has(rows, _HAS_PORTS), _has(rows, _IS_TRANSLATED)
    columns: dict[str, Column] = {
        "observed_at": pa.array(times // NANOSECONDS[unit], pa.timestamp(unit, tz="UTC")),
        "protocol": pa.array(rows["protocol"]),
        "account": pa.nulls(len(rows), pa.string()),
    }
    for side, is_there in (
        ("source", always),
        ("destination", always),
        ("post_nat_source", is_translated),
    ):
        columns[f"{side}_address"] = _addresses(rows[f"{side}_address"], is_there)
        columns[f"{side}_port"] = pa.array(rows[f"{side}_port"], PORT, ~(is_ported & is_there))
    schema = record_schema(unit)
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _addresses(octets: _Rows, is_there: Mask) -> Column:
    buffers = [None, pa.py_buffer(octets.tobytes())]
    whole = pa.Array.from_buffers(ADDRESS, len(octets), buffers)
    return pc.if_else(pa.array(is_there), whole, pa.scalar(None, ADDRESS))


def _has(rows: _Rows, what: int) -> Mask:
    return np.asarray(rows["has"] & what != 0)


class _Flows:
    """The connections that are under way."""

    def __init__(self) -> None:
        self._tcp = First(_TCP_IDLE_SECONDS, _MOST_FLOWS)
        self._others = First(_IDLE_SECONDS, _MOST_FLOWS)
        # A SYN is given up after some three minutes (RFC 9293 section 3.8.3).
        self._syns = First(_IDLE_SECONDS, _MOST_FLOWS)

    def begin(self, batch: pa.RecordBatch, rows: _Rows) -> Mask:
        """Which packets are the first of their connection."""
        names = ("protocol", "source_address", "source_port", "destination_address")
        keys, _ = pair_keys(*(batch.column(name) for name in (*names, "destination_port")))
        times: Numbers = rows["nanoseconds"].astype(np.int64)
        is_state, is_tcp = _has(rows, _IS_STATE), rows["protocol"] == TCP
        is_syn = _has(rows, _IS_SYN) & ~is_state
        is_first = is_state.copy()
        for flows, these, of in (
            (self._tcp, is_tcp & ~is_state, keys),
            (self._others, ~is_tcp & ~is_state, keys),
            (self._syns, is_syn, _with_sequence(keys, rows["sequence"])),
        ):
            is_first[these] |= flows.of(of[these], times[these], times[these])
        return is_first


def _with_sequence(keys: Bytes, sequence: _Rows) -> Bytes:
    """Keys of one SYN and its repetitions: half its sequence number before each port, in zeros."""
    octets = keys.view(np.uint8).reshape(len(keys), KEY_BYTES).copy()
    halves = sequence.copy().view(np.uint8).reshape(len(keys), 4)
    octets[:, 16:18], octets[:, 36:38] = halves[:, :2], halves[:, 2:]
    return octets.view(keys.dtype).ravel()
