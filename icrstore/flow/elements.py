"""The elements of a connection record, a NAT event and a binding, after IANA's IPFIX registry.

A NAT event (RFC 8158) says that a translation began or ended: of one port, of a range of ports, or
of a whole address. It is no connection. What is retained of it is a *binding*, in the address map
alone: from when until when within one hour an outside address, or these ports of it, was whose.
"""

from dataclasses import dataclass

import pyarrow as pa

ADDRESS = pa.binary(16)
PORT = pa.uint16()


@dataclass(frozen=True)
class Element:
    """One field of a record: its name, its IPFIX element ids, its Arrow type and its meaning."""

    name: str
    ids: tuple[int, ...]
    arrow: pa.DataType | None  # None: a timestamp, whose unit is the batch's own
    required: bool
    meaning: str


ELEMENTS = (
    Element("observed_at", (322, 323, 324, 325), None, True, "when the first packet was seen"),
    Element("protocol", (4,), pa.uint8(), True, "IP protocol number of the connection"),
    Element("source_address", (8, 27), ADDRESS, True, "who sent; IPv4 as ::ffff:a.b.c.d"),
    Element("source_port", (7,), PORT, False, "null where there is none or it was not seen"),
    Element("destination_address", (12, 28), ADDRESS, True, "to whom; IPv4 as ::ffff:a.b.c.d"),
    Element("destination_port", (11,), PORT, False, "null where there is none or it was not seen"),
    Element("post_nat_source_address", (225, 281), ADDRESS, False, "source after translation"),
    Element("post_nat_source_port", (227,), PORT, False, "source port after translation"),
    Element("account", (371,), pa.string(), False, "whose connection; retained only with it"),
)

# natEvent (230): its first two values, to which every kind of translation is brought.
NAT_EVENTS = {"create": 1, "delete": 2}

EVENT_ELEMENTS = (
    Element("observed_at", (322, 323, 324, 325), None, True, "when it began or ended"),
    Element("nat_event", (230,), pa.uint8(), True, "1: create, 2: delete"),
    Element("protocol", (4,), pa.uint8(), False, "null where it holds for every protocol"),
    Element("source_address", (8, 27), ADDRESS, True, "the inside address"),
    Element("source_port", (7,), PORT, False, "null where there is none or it was not said"),
    Element("destination_address", (12, 28), ADDRESS, False, "where it is of one connection"),
    Element("destination_port", (11,), PORT, False, "where it is of one connection"),
    Element("post_nat_source_address", (225, 281), ADDRESS, True, "the outside address"),
    Element("post_nat_source_port", (227,), PORT, False, "the outside port, if it is one"),
    Element("port_range_start", (361,), PORT, False, "the first outside port of a range"),
    Element("port_range_end", (362,), PORT, False, "the last outside port of a range"),
    Element("account", (371,), pa.string(), False, "whose it is; retained only with it"),
)

BINDING_ELEMENTS = (
    Element("observed_at", (322, 323, 324, 325), None, True, "from when, within one UTC hour"),
    Element(
        "observed_until", (151, 153, 155, 157), None, True, "until when, the hour's end at most"
    ),
    Element("protocol", (4,), pa.uint8(), False, "null where it holds for every protocol"),
    Element("post_nat_source_address", (225, 281), ADDRESS, True, "the outside address"),
    Element("port_range_start", (361,), PORT, False, "null where it is the whole address"),
    Element(
        "port_range_end", (362,), PORT, False, "the last outside port; the first, if it is one"
    ),
    Element("account", (371,), pa.string(), False, "whose it was; retained only with it"),
)
