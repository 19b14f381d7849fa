"""Exports in files: datagrams one after another as they came, or packets that carried them."""

from collections.abc import Iterable, Iterator
from itertools import chain

import pyarrow as pa

from ..datagrams import Datagram
from ..lines import Input
from ..packets import Packet, is_capture, packets, udp_payload
from ..tally import Tally
from .feed import Exports
from .messages import NoExport, begins_an_export, is_export, length_of
from .templates import Templates


def is_exports(head: bytes) -> bool:
    """Whether these are datagrams of NetFlow or IPFIX, as they came."""
    return begins_an_export(head)


def read_exports(
    source: Input, tally: Tally, templates: Templates | None = None
) -> Iterator[pa.RecordBatch]:
    """What the exports in a file tell; `templates` are those of files before it, and get its own.

    Numbers of exports are followed within one file only, and data wait for their template as long.
    """
    if is_capture(source.head):
        return read_packets(packets(source, tally), tally, templates)
    return _read(_datagrams(source, tally), tally, templates)


def read_packets(
    captured: Iterable[Packet], tally: Tally, templates: Templates | None = None
) -> Iterator[pa.RecordBatch]:
    """What the exports in these packets tell; each is of its sender's address."""
    return _read(_carried(captured, tally), tally, templates)


def are_exports(captured: Iterable[Packet]) -> bool:
    """Whether there are UDP datagrams among these packets, and every one is a whole export."""
    payloads = [found[1] for packet in captured if (found := udp_payload(packet))]
    return bool(payloads) and all(map(is_export, payloads))


def _read(
    datagrams: Iterator[Datagram], tally: Tally, templates: Templates | None
) -> Iterator[pa.RecordBatch]:
    exports = Exports(tally, templates)
    yield from exports.feed(datagrams)
    exports.end()


def _carried(captured: Iterable[Packet], tally: Tally) -> Iterator[Datagram]:
    for packet in captured:
        if (found := udp_payload(packet)) is None:
            tally.drop("not-an-export")
        else:
            yield Datagram(packet.nanoseconds, *found)


def _datagrams(source: Input, tally: Tally) -> Iterator[Datagram]:
    """Each export of a file by its own length; from what is none on, nothing can be told apart."""
    rest = b""
    for chunk in chain(source.chunks(), [b""]):
        rest, at = rest + chunk, 0
        try:
            while at < len(rest) and (length := length_of(rest, at, is_all=not chunk)) is not None:
                tally.cut_off |= at + length > len(rest)
                yield Datagram(0, "", rest[at : at + length])
                at += length
        except NoExport:
            tally.cut_off = True
            yield Datagram(0, "", rest[at : at + 1])
            return
        rest = rest[at:]
