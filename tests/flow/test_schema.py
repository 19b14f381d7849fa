"""Addresses are 16 bytes inside and canonical text outside."""

import ipaddress

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icrstore.flow.schema import (
    address_bytes,
    address_text,
    addresses_from_text,
    addresses_to_text,
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:C000:201", "192.0.2.1"),
        ("2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),  # RFC 5952 section 4.2.2
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),  # section 4.2.3: the longest run
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),  # section 4.2.3: the first of equals
        ("::", "::"),
        ("::1.2.3.4", "::102:304"),
    ],
)
def test_it_writes_addresses_as_rfc_5952_asks(text: str, canonical: str) -> None:
    assert address_text(address_bytes(text)) == canonical


def test_ipv4_is_mapped_into_ipv6() -> None:
    assert address_bytes("192.0.2.1").hex() == "00000000000000000000ffffc0000201"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "fe80::1%eth0",
        ":::",
        "1.2.3.4\0",
        " ::1",
        "example.net",
        "2001:db8::1::2",
        "::ffff:1.2.3.999",
        "\u0661.2.3.4",
        "\udcff",
    ],
)
def test_it_refuses_what_is_no_address_and_keeps_it_out_of_the_message(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not an IPv4 or IPv6 address$"):
        address_bytes(text)


@given(st.binary(min_size=16, max_size=16))
def test_every_address_survives_being_written(raw: bytes) -> None:
    assert address_bytes(address_text(raw)) == raw


@given(st.ip_addresses())
def test_it_agrees_with_the_standard_library(address: ipaddress.IPv4Address) -> None:
    raw = address_bytes(str(address))
    assert raw[-len(address.packed) :] == address.packed


def test_columns_of_addresses_keep_their_rows_and_nulls() -> None:
    texts = pa.array(["192.0.2.1", None, "2001:db8::1", "nonsense", "192.0.2.1"])
    parsed = addresses_from_text(texts)
    assert parsed.type == pa.binary(16)
    assert addresses_to_text(parsed).to_pylist() == [
        "192.0.2.1",
        None,
        "2001:db8::1",
        None,
        "192.0.2.1",
    ]
