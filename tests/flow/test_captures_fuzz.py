"""Whatever a capture holds: no crash, no hang, no memory, and each packet counted once."""

import io
import random
import struct
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.flow.readers import Tally, open_records
from icrstore.flow.readers.layers import NotRead, connection
from icrstore.flow.readers.lines import opened
from icrstore.flow.readers.packets import Packet, packets, udp_payload

from .captured import (
    ETHERNET,
    PFLOG,
    V4,
    V6,
    block,
    enhanced,
    ethernet,
    interface,
    ip,
    on_ethernet,
    option,
    pcap,
    pflog,
    section,
    tcp,
    udp,
)
from .readings import reading

_TCP4, _UDP6 = ip(*V4, 6, tcp(1024, 443, 2)), ip(*V6, 17, udp(5, 53, b"query"))
PACKETS = [
    on_ethernet(_TCP4),
    on_ethernet(_UDP6),
    on_ethernet(ip(*V6, 4, _TCP4)),
    ethernet(0x8100, struct.pack(">HH", 7, 0x8847) + b"\0\0\0\x40" * 3 + b"\0\0\1\x40" + _TCP4),
    ethernet(0x8864, b"\x11\0\0\x3b\0\x50\0\x57" + _UDP6),
]
NG = b"".join((
    section(), interface(ETHERNET, option(9, b"\x09")), *(enhanced(0, 8, each) for each in PACKETS),
    block(3, bytes(20)), section(">"), interface(PFLOG, b"", ">"),
    enhanced(0, 9, pflog(_TCP4), ">"),
))  # fmt: skip
WHOLE = st.sampled_from(
    [pcap(PACKETS), pcap(PACKETS, order=">", nano=True), pcap([pflog(_TCP4)] * 3, PFLOG), NG]
)
LINK_TYPES = st.sampled_from([0, 1, 9, 12, 50, 51, 101, 108, 113, 117, 228, 229, 239, 276, 999])


def read(content: bytes) -> int:
    """Reads a capture, however bad, and how many packets there were."""
    tally = Tally()
    records = sum(b.num_rows for b in open_records(io.BytesIO(content), "pcap", tally))
    return records + tally.not_records.total()


@settings(deadline=None, max_examples=300)
@given(WHOLE, st.integers(0, 1 << 32), st.integers(1, 12))
def test_a_capture_with_octets_changed(whole: bytes, seed: int, changes: int) -> None:
    chance, content = random.Random(seed), bytearray(whole)
    for _ in range(changes):
        content[chance.randrange(4, len(content))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, 4))
    tally = Tally()
    count = len(list(packets(opened(io.BytesIO(bytes(content)), tally), tally)))
    assert read(bytes(content)) == count + tally.not_records.total()


@settings(deadline=None, max_examples=300)
@given(WHOLE, st.binary(max_size=200), st.integers(0, 400))
def test_a_capture_with_any_bytes_in_it(whole: bytes, scrap: bytes, at: int) -> None:
    read(whole[: 4 + at] + scrap + whole[4 + at + len(scrap) // 2 :])


@settings(deadline=None, max_examples=1000)
@given(LINK_TYPES, st.sampled_from(PACKETS) | st.binary(max_size=120), st.binary(max_size=30),
       st.integers(0, 120))  # fmt: skip
def test_a_packet_of_any_bytes(link_type: int, data: bytes, scrap: bytes, at: int) -> None:
    data = data[:at] + scrap + data[at + len(scrap) :]
    udp_payload(Packet(0, link_type, data))
    try:
        found = connection(link_type, data)
    except NotRead:
        return
    assert len(found.source) == len(found.destination) == 16
    assert (found.source_port is None) == (found.destination_port is None)


def test_what_grows_is_bounded() -> None:
    """Many small interfaces, sections and packets: what is kept does not grow with them."""
    one = section() + interface(ETHERNET) * 20 + enhanced(3, 8, PACKETS[0])
    peaks = []
    for times in (500, 2000):
        content = one * times
        tracemalloc.start()
        assert read(content) == times
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (4 << 20)


def test_records_of_what_was_changed_are_still_records() -> None:
    chance = random.Random(11)
    for _ in range(100):
        content = bytearray(pcap(PACKETS * 3))
        content[chance.randrange(24, len(content))] = chance.randrange(256)
        reading(bytes(content), "pcap")
