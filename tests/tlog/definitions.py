"""RFC 6962 section 2.1 as it is written there: slow, and what the tests compare with.

D[n] is a tuple, so that no subtree is hashed twice.
"""

import hashlib
from functools import cache


@cache
def mth(d: tuple[bytes, ...]) -> bytes:
    """MTH(D[n]), the Merkle tree hash of the leaves' data."""
    if len(d) == 0:
        return hashlib.sha256().digest()
    if len(d) == 1:
        return hashlib.sha256(b"\x00" + d[0]).digest()
    k = _split(len(d))
    return hashlib.sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: tuple[bytes, ...]) -> list[bytes]:
    """PATH(m, D[n]), the audit path of leaf m."""
    if len(d) == 1:
        return []
    k = _split(len(d))
    if m < k:
        return [*path(m, d[:k]), mth(d[k:])]
    return [*path(m - k, d[k:]), mth(d[:k])]


def proof(m: int, d: tuple[bytes, ...]) -> list[bytes]:
    """PROOF(m, D[n]), the consistency proof from the first m leaves; 0 < m <= n."""
    return _subproof(m, d, True)


def _subproof(m: int, d: tuple[bytes, ...], b: bool) -> list[bytes]:
    if m == len(d):
        return [] if b else [mth(d)]
    k = _split(len(d))
    if m <= k:
        return [*_subproof(m, d[:k], b), mth(d[k:])]
    return [*_subproof(m - k, d[k:], False), mth(d[:k])]


def _split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k
