"""The first piece of each flow: an exporter tells of a long flow in pieces, a capture in packets.

Pieces of one key that lie at most so long apart are one flow, of which the first is its record.
"""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .schema import Column

# An exporter may tell of a piece only when its active timeout has run out, half an hour or more
# after the flow's last piece ended: so much longer than `idle` a flow stays in memory.
LATEST_NANOSECONDS = 3600 * 10**9
MOST_FLOWS = 1_000_000

_NO_PORT = 1 << 16
_ENDPOINT_BYTES = 20
KEY_BYTES = 2 * _ENDPOINT_BYTES + 1
MARKED_BYTES = KEY_BYTES + 8
# Any odd numbers: what differs in one word of an endpoint differs in its mark.
_FACTORS = np.frombuffer(blake2b(b"icr flow marks", digest_size=40).digest(), "<u8") | np.uint64(1)
_FAR = 1 << 62

Numbers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.bytes_]
Mask = npt.NDArray[np.bool_]


class First:
    """Remembers flows by key, each with its first and last nanosecond; at most ``most`` of them.

    Give it directed keys (`flow_keys`): which direction is the reply is not a reader's to judge,
    since a reader does not know which side is the subscriber's.
    """

    def __init__(
        self, idle_seconds: float, most: int = MOST_FLOWS, key_bytes: int = KEY_BYTES
    ) -> None:
        self._idle = round(idle_seconds * 10**9)
        self._most = most
        # Sorted by key, then by time: one key may have had more than one flow.
        self._keys: Bytes = np.empty(0, f"S{key_bytes}")
        self._first: Numbers = np.empty(0, np.int64)
        self._last: Numbers = np.empty(0, np.int64)

    def of(self, keys: Bytes, first_ns: Numbers, last_ns: Numbers) -> Mask:
        """Which of these pieces is the first of its flow; remembers the flows.

        Pieces come in any order. Of those in one call that begin a flow the earliest is its first;
        one that comes in a later call than its flow's first is never another, however early it is.
        """
        if not len(keys):
            return np.zeros(0, np.bool_)
        first = np.clip(first_ns, -_FAR, _FAR)
        last = np.maximum(np.clip(last_ns, -_FAR, _FAR), first)
        unique, group = np.unique(keys, return_inverse=True)
        known = self._places(unique)
        known_group = np.searchsorted(unique, self._keys[known])
        # What is remembered of these keys lies before their new pieces: it wins a tie.
        groups = np.concatenate((known_group, group))
        firsts = np.concatenate((self._first[known], first))
        lasts = np.concatenate((self._last[known], last))
        order = np.lexsort((firsts, groups))
        begins = self._begins(groups[order], firsts[order], lasts[order])
        flow = np.flatnonzero(begins)
        is_known = np.minimum.reduceat(order, flow) < len(known)
        mask = np.zeros(len(order), np.bool_)
        mask[order[flow[~is_known]]] = True
        self._keep(np.delete(np.arange(len(self._keys)), known))
        self._remember(
            unique[groups[order[flow]]], firsts[order[flow]],
            np.maximum.reduceat(lasts[order], flow),
        )  # fmt: skip
        self._forget(int(np.median(first)))
        return mask[len(known) :]

    def _places(self, unique: Bytes) -> Numbers:
        """Where the flows of these keys are remembered."""
        start = np.searchsorted(self._keys, unique, "left")
        counts = np.searchsorted(self._keys, unique, "right") - start
        before = np.cumsum(counts) - counts
        return np.asarray(np.arange(int(counts.sum())) + np.repeat(start - before, counts))

    def _begins(self, groups: Numbers, firsts: Numbers, lasts: Numbers) -> Mask:
        """Which rows, in order of key and time, come too late for what was before them."""
        begins = np.ones(len(groups), np.bool_)
        ends = _greatest_before(groups, lasts)
        same = groups[1:] == groups[:-1]
        begins[1:] = ~same | (firsts[1:] - self._idle > ends[1:])
        return begins

    def _remember(self, keys: Bytes, first: Numbers, last: Numbers) -> None:
        at = np.searchsorted(self._keys, keys)
        self._keys = np.insert(self._keys, at, keys)
        self._first = np.insert(self._first, at, first)
        self._last = np.insert(self._last, at, last)

    def _forget(self, now: int) -> None:
        """What ended too long ago to go on, and the oldest of what is too much.

        ``now`` is where most of the last pieces began, so that one false clock forgets nothing.
        """
        stay = self._last >= now - self._idle - LATEST_NANOSECONDS
        if (excess := int(stay.sum()) - self._most) > 0:
            old = np.flatnonzero(stay)
            stay[old[np.argsort(self._last[old], kind="stable")[:excess]]] = False
        if not stay.all():
            self._keep(np.flatnonzero(stay))

    def _keep(self, places: Numbers) -> None:
        self._keys, self._first, self._last = (
            self._keys[places], self._first[places], self._last[places]
        )  # fmt: skip


def _greatest_before(groups: Numbers, values: Numbers) -> Numbers:
    """For each row the greatest value of the rows before it, where one of its group is there."""
    count = len(values)
    by_value = np.argsort(values, kind="stable")
    rank = np.empty(count, np.int64)
    rank[by_value] = np.arange(count)
    # Groups ascend, so that one running maximum serves them all.
    running = np.maximum.accumulate(groups * count + rank)
    before = np.empty(count, np.int64)
    before[0], before[1:] = 0, values[by_value[running[:-1] % count]]
    return before


def flow_keys(
    protocol: Column, source: Column, source_port: Column, destination: Column,
    destination_port: Column,
) -> Bytes:  # fmt: skip
    """41 bytes for each row of a record's columns: those of one direction of a flow are equal."""
    near, far = _endpoints(source, source_port), _endpoints(destination, destination_port)
    return _joined(protocol, near, far)


def pair_keys(
    protocol: Column, source: Column, source_port: Column, destination: Column,
    destination_port: Column,
) -> tuple[Bytes, Mask]:  # fmt: skip
    """One key for both directions of a flow, and in which of them each row goes."""
    near, far = _endpoints(source, source_port), _endpoints(destination, destination_port)
    backwards = np.asarray(near > far)
    ends = (np.where(backwards, far, near), np.where(backwards, near, far))
    return _joined(protocol, *ends), backwards


def marked(keys: Bytes, outside: Column, outside_port: Column, account: Column) -> Bytes:
    """The keys, each with eight bytes of whom else the row names. Sites and virtual routers lend
    the same private addresses: what one translates to another address is another flow."""
    words = np.ascontiguousarray(_endpoints(outside, outside_port)).view("<u4").reshape(-1, 5)
    marks = (words * _FACTORS).sum(axis=1, dtype=np.uint64)
    names: Column = account.dictionary_encode()
    digests = [
        blake2b(text.encode(), digest_size=8).digest() for text in names.dictionary.to_pylist()
    ]
    codes = np.asarray(pc.fill_null(names.indices, len(digests)))
    marks += np.frombuffer(b"".join([*digests, bytes(8)]), "<u8")[codes]
    joined = np.empty((len(keys), MARKED_BYTES), np.uint8)
    joined[:, :KEY_BYTES] = np.ascontiguousarray(keys).view(np.uint8).reshape(-1, KEY_BYTES)
    joined[:, KEY_BYTES:] = marks.view(np.uint8).reshape(-1, 8)
    return joined.view(f"S{MARKED_BYTES}").ravel()


def address_column(column: Column) -> Bytes:
    """16 bytes for each address of a column, which compare as the addresses do; zeros for null."""
    values: Column = pc.fill_null(column, pa.scalar(bytes(16), pa.binary(16)))
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not len(values):
        return np.empty(0, "S16")
    return np.frombuffer(values.buffers()[1], "S16", len(values), values.offset * 16)


def _joined(protocol: Column, near: Bytes, far: Bytes) -> Bytes:
    joined = np.empty((len(near), KEY_BYTES), np.uint8)
    joined[:, :_ENDPOINT_BYTES] = _octets(near)
    joined[:, _ENDPOINT_BYTES:-1] = _octets(far)
    joined[:, -1] = np.asarray(protocol)
    return joined.view(f"S{KEY_BYTES}").ravel()


def _endpoints(address: Column, port: Column) -> Bytes:
    """Address and port as 20 bytes; no port is none of the ports."""
    joined = np.empty((len(address), _ENDPOINT_BYTES), np.uint8)
    joined[:, :16] = np.ascontiguousarray(address_column(address)).view(np.uint8).reshape(-1, 16)
    ports = np.asarray(pc.fill_null(port.cast(pa.uint32()), _NO_PORT)).astype(">u4")
    joined[:, 16:] = ports.view(np.uint8).reshape(-1, 4)
    return joined.view(f"S{_ENDPOINT_BYTES}").ravel()


def _octets(endpoints: Bytes) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(endpoints).view(np.uint8).reshape(-1, _ENDPOINT_BYTES)
