"""The default pool: which addresses share a selector, and which are private."""

import ipaddress
import random

import numpy as np
import pytest

from icrstore.seal.address_map import are_private
from icrstore.seal.pools import DEFAULT, is_private, is_v4


def _bytes(address: str) -> bytes:
    parsed = ipaddress.ip_address(address)
    return bytes(10) + b"\xff\xff" + parsed.packed if parsed.version == 4 else parsed.packed


PRIVATE_EDGES = [
    ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
    ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
    ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
    ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
    ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
    ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fbff::", "fe00::"),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe7f::", "fec0::"),
    ("::1", "::1", "::", "::2"),
]


@pytest.mark.parametrize(("first", "last", "before", "after"), PRIVATE_EDGES)
def test_the_private_networks_end_where_their_rfcs_end(
    first: str, last: str, before: str, after: str
) -> None:
    assert is_private(_bytes(first))
    assert is_private(_bytes(last))
    assert not is_private(_bytes(before))
    assert not is_private(_bytes(after))


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.1", "203.0.113.9", "2001:db8::1"])
def test_documentation_networks_are_not_private_whatever_python_thinks(address: str) -> None:
    assert ipaddress.ip_address(address).is_private
    assert not is_private(_bytes(address))


def test_ipv4_is_told_by_the_whole_address() -> None:
    selectors = {DEFAULT.selector(_bytes(f"203.0.113.{n}"), 443) for n in range(256)}
    assert len(selectors) == 256


def test_ipv6_is_told_by_its_64() -> None:
    one, same, other = (
        _bytes(a) for a in ("2001:db8:0:1::1", "2001:db8:0:1:f::", "2001:db8:0:2::1")
    )
    assert DEFAULT.selector(one, 443) == DEFAULT.selector(same, 443)
    assert DEFAULT.selector(one, 443) != DEFAULT.selector(other, 443)


def test_ipv4_never_meets_ipv6() -> None:
    assert is_v4(_bytes("0.0.0.1"))
    assert not is_v4(_bytes("::1"))
    assert DEFAULT.selector(_bytes("0.0.0.1"), 0) != DEFAULT.selector(_bytes("::1"), 0)


def test_all_ports_stand_in_one_block() -> None:
    address = _bytes("203.0.113.9")
    assert len({DEFAULT.selector(address, port) for port in (0, 1, 1023, 40001, 65535)}) == 1


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::1"])
def test_a_selector_says_its_network_length_and_block(address: str) -> None:
    selector = DEFAULT.selector(_bytes(address), 65535)
    assert selector[:2] == b"\x00\x10"
    assert selector[18:21] == bytes([0, 1, 32 if "." in address else 64])
    assert selector[21:] == bytes([0, 1, 16, 0, 2, 0, 0])


def test_many_addresses_are_judged_as_one_is() -> None:
    rng = random.Random(4)
    packed = [_bytes(address) for edges in PRIVATE_EDGES for address in edges]
    packed += [rng.randbytes(16) for _ in range(500)]
    rows = np.frombuffer(b"".join(packed), np.uint8).reshape(-1, 16)

    assert are_private(rows).tolist() == [is_private(one) for one in packed]
