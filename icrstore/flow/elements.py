"""The elements of an internet connection record, after the IANA IPFIX registry (RFC 7012)."""

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
