"""Pools: which addresses and ports share a selector, from when on, and which are private."""

import ipaddress
import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from icrstore.seal.group import are_private
from icrstore.seal.pools import DEFAULT, Pool, Pools, in_force, is_private, is_v4


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


def by(*listed: Pool) -> Pools:
    return Pools(bytes(32), listed)


def test_of_overlapping_pools_the_longest_counts_then_the_last() -> None:
    wide, long, again = (
        Pool("198.51.0.0/16", 32, 9), Pool("198.51.100.0/24", 32, 8), Pool("198.51.100.0/24", 32, 7)
    )  # fmt: skip
    for listed in ((wide, long), (long, wide)):
        assert by(*listed).of(_bytes("198.51.100.1")) == long
        assert by(*listed).of(_bytes("198.51.101.1")) == wide
    assert by(long, again, wide).of(_bytes("198.51.100.1")) == again
    assert by(again, long, wide).of(_bytes("198.51.100.1")) == long


def test_a_pool_of_one_version_holds_no_address_of_the_other() -> None:
    everything = by(Pool("::/0", 48))
    assert everything.selector(_bytes("203.0.113.9"), 443) == DEFAULT.selector(
        _bytes("203.0.113.9"), 443
    )
    # ::ffff:203.0.113.9 is how IPv4 is written in 16 bytes; its neighbour ::fffe:.. is IPv6.
    assert everything.of(_bytes("::fffe:cb00:7109")).prefix == 48
    assert by(Pool("0.0.0.0/0", 8)).of(_bytes("::1")) == DEFAULT.of(_bytes("::1"))


@pytest.mark.parametrize("log2", range(17))
def test_ports_share_a_selector_within_their_block_alone(log2: int) -> None:
    pools, address = by(Pool("198.51.100.0/24", 32, log2)), _bytes("198.51.100.1")
    selectors = [pools.selector(address, port) for port in range(1 << 16)]
    assert len(set(selectors)) == 1 << (16 - log2)
    assert all(selectors[port] == selectors[port >> log2 << log2] for port in range(0, 1 << 16, 97))
    # What has no port is of no block, unless there is but one.
    assert (pools.selector(address, None) in selectors) == (log2 == 16)


def test_two_pools_never_give_one_name_to_two_groups() -> None:
    names = set()
    for log2 in range(17):
        pool = by(Pool("198.51.100.0/24", 32, log2))
        names |= {pool.selector(_bytes("198.51.100.1"), 0)}
    for prefix in range(24, 33):
        names |= {by(Pool("198.51.100.0/24", prefix)).selector(_bytes("198.51.100.0"), 0)}
    assert len(names) == 17 + 9


def test_the_latest_policy_that_has_begun_is_in_force() -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    first, second = Pools(b"1" * 32), Pools(b"2" * 32)
    policies = [(noon + timedelta(hours=3), second), (noon, first)]
    hours = [noon + timedelta(hours=n) for n in (-1, 0, 2, 3, 900)]
    assert [in_force(policies, hour) for hour in hours] == [DEFAULT, first, first, second, second]
    assert in_force([], noon) == DEFAULT
