"""Which selector an address and port have in an hour: one function for writer, engine and keeper.

A tenant's *pools* say how its public addresses are grouped: by how many leading bits of the
address, and by blocks of how many ports. A signed policy (`icrstore.warrant.statements`) puts them
in force from an hour on. An address in none of them goes by the default: IPv4 by the address, IPv6
by the /64, all ports in one block.
"""

import hashlib
import ipaddress
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from operator import itemgetter

from icrstore.seal.encode import enc, u8, u16

ALL_PORTS = 16  # log2 of a block that holds every port
_MAPPED = bytes(10) + b"\xff\xff"

# RFC 1918, 6598, 3927, 4193, link-local (RFC 4291) and loopback. A fixed list, so that every
# version of Python and every party agrees.
PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
        "127.0.0.0/8", "fc00::/7", "fe80::/10", "::1/128",
    )
)  # fmt: skip


def network_bits(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> tuple[bytes, bytes]:
    """A network's address and mask as 16 bytes each; IPv4 within ::ffff:0:0/96."""
    lead, cover = (_MAPPED, b"\xff" * 12) if network.version == 4 else (b"", b"")
    return lead + network.network_address.packed, cover + network.netmask.packed


PRIVATE_BITS = tuple(network_bits(network) for network in PRIVATE)


def is_v4(address: bytes) -> bool:
    return address[:12] == _MAPPED


def is_private(address: bytes) -> bool:
    """Whether a 16-byte address is on the fixed list of private networks."""
    return any(
        all(byte & cover == wanted for byte, wanted, cover in zip(address, *bits, strict=True))
        for bits in PRIVATE_BITS
    )


@dataclass(frozen=True)
class Pool:
    """Public addresses that are grouped alike: by their first ``prefix`` bits (of 32 or 128), and
    by blocks of ``2 ** log2_block`` ports. What has blocks goes by whole addresses."""

    cidr: str
    prefix: int
    log2_block: int = ALL_PORTS

    @property
    def has_blocks(self) -> bool:
        return self.log2_block < ALL_PORTS

    @cached_property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        return ipaddress.ip_network(self.cidr)

    @cached_property
    def cover(self) -> bytes:
        """The mask of the bits that name a group: 16 bytes."""
        bits = self.prefix + (96 if self.network.version == 4 else 0)
        return (((1 << bits) - 1) << (128 - bits)).to_bytes(16, "big")

    @property
    def is_of_networks(self) -> bool:
        """Whether a group has more than one address."""
        return self.cover[-1] != 0xFF

    def masked(self, address: bytes) -> bytes:
        """An address (16 bytes) without the bits that do not name its group."""
        return _and(address, self.cover)

    def below(self, address: bytes) -> bytes:
        """Only the bits that do not name its group."""
        return _and(address, bytes(0xFF ^ byte for byte in self.cover))

    def selector(self, network: bytes, block: int | None) -> bytes:
        """``enc(masked addr16, prefix length, log2 block, port >> log2 block)``.

        A record without a port is of no block: it stands under the address with all ports in one.
        """
        return enc(network) + _rest_of_selector(self.prefix, self.log2_block, block)


@lru_cache(maxsize=1 << 12)
def _rest_of_selector(prefix: int, log2_block: int, block: int | None) -> bytes:
    """A selector but for its network: one sealing makes few of them, each for many networks."""
    log2, number = (ALL_PORTS, 0) if block is None else (log2_block, block)
    return enc(u8(prefix), u8(log2), u16(number))


_DEFAULTS = {4: Pool("0.0.0.0/0", 32), 6: Pool("::/0", 64)}


@dataclass(frozen=True)
class Pools:
    """The pools of one policy, and the digest by which an epoch says that it was sealed by them."""

    sha256: bytes
    listed: tuple[Pool, ...] = ()

    def __reduce__(self) -> tuple[type["Pools"], tuple[bytes, tuple[Pool, ...]]]:
        """Pickled without what it remembers."""
        return type(self), (self.sha256, self.listed)

    def of(self, address: bytes) -> Pool:
        """The pool of an address (16 bytes): of those that hold it the longest, then the last."""
        version = 4 if is_v4(address) else 6
        bits = int.from_bytes(address[12:] if version == 4 else address, "big")
        for spare, pools in self._longest_first[version]:
            found = pools.get(bits >> spare)
            if found is not None:
                return found
        return _DEFAULTS[version]

    @cached_property
    def group_of(self) -> Callable[[bytes], tuple[bytes, Pool]]:
        """An address's network and its pool; remembered, since an address comes in many hours."""
        return lru_cache(maxsize=1 << 14)(self._group_of)

    def _group_of(self, address: bytes) -> tuple[bytes, Pool]:
        pool = self.of(address)
        return pool.masked(address), pool

    def selector(self, address: bytes, port: int | None) -> bytes:
        """The name under which an address and port (None: not recorded) are sealed and found."""
        pool = self.of(address)
        block = None if port is None else port >> pool.log2_block
        return pool.selector(pool.masked(address), block)

    def selectors(self, address: bytes, port: int | None) -> tuple[bytes, bytes]:
        """Where to look for a port: in its block, and among what has no port. Without blocks, or
        without a port, both are one name."""
        return self.selector(address, port), self.selector(address, None)

    @cached_property
    def _longest_first(self) -> dict[int, list[tuple[int, dict[int, Pool]]]]:
        """By version and length: the bits below it, and the pools by the bits above."""
        found: dict[int, dict[int, dict[int, Pool]]] = {4: {}, 6: {}}
        for pool in self.listed:
            network = pool.network
            spare = network.max_prefixlen - network.prefixlen
            same_length = found[network.version].setdefault(spare, {})
            same_length[int(network.network_address) >> spare] = pool
        return {version: sorted(by_spare.items()) for version, by_spare in found.items()}


DEFAULT = Pools(hashlib.sha256(enc(b"icr/v1/pools")).digest())


def in_force(policies: Iterable[tuple[datetime, Pools]], hour: datetime) -> Pools:
    """The pools at an hour: of the policies, each with the hour from which it holds, the latest
    that has begun; the default before the first."""
    begun = sorted(policies, key=itemgetter(0))
    count = bisect_right(begun, hour, key=itemgetter(0))
    return begun[count - 1][1] if count else DEFAULT


def _and(address: bytes, cover: bytes) -> bytes:
    return (int.from_bytes(address) & int.from_bytes(cover)).to_bytes(16)
