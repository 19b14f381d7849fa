"""Which selector an address and port have: one function for writer, engine and keeper.

A tenant's *pool* policy says how its public addresses are grouped. The default pool is all there
is until a policy can be logged: IPv4 by the address, IPv6 by the /64, all ports in one block.
"""

import hashlib
import ipaddress

from icrstore.seal.encode import enc, u8, u16

V4_PREFIX, V6_PREFIX, LOG2_BLOCK = 32, 64, 16
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


def pools_digest() -> bytes:
    """What the epoch statement says of the pools in force: here, the default pool."""
    return hashlib.sha256(enc(b"icr/v1/pools")).digest()


def is_v4(address: bytes) -> bool:
    return address[:12] == _MAPPED


def is_private(address: bytes) -> bool:
    """Whether a 16-byte address is on the fixed list of private networks."""
    return any(
        all(byte & cover == wanted for byte, wanted, cover in zip(address, *bits, strict=True))
        for bits in PRIVATE_BITS
    )


def masked(address: bytes) -> tuple[bytes, int]:
    """The address without the bits below its pool's prefix (16 bytes), and the prefix length."""
    return (address, V4_PREFIX) if is_v4(address) else (address[:8] + bytes(8), V6_PREFIX)


def address_selector(address: bytes, port: int) -> bytes:
    """``enc(masked addr16, prefix length, log2 block, port >> log2 block)``."""
    network, prefix = masked(address)
    return enc(network, u8(prefix), u8(LOG2_BLOCK), u16(port >> LOG2_BLOCK))
