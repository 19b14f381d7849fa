"""Names that both ends of a call must spell alike: of logs, witnesses, receivers and contexts."""

from icrstore.seal.encode import enc, text, u8, u32
from icrstore.seal.epoch import Role
from icrstore.warrant.dsse import key_id

PSEUDONYM_DIGITS = 16


def origin_of(keeper_name: str, pseudonym: str) -> str:
    """The origin, and key name, of a tenant's log at a keeper."""
    return f"{keeper_name}/{pseudonym}"


def is_log_of(keeper_name: str, origin: str) -> bool:
    """Whether an origin is that of a tenant's log of the keeper of this name."""
    prefix, _, pseudonym = origin.rpartition("/")
    hexadecimal = all(digit in "0123456789abcdef" for digit in pseudonym)
    return prefix == keeper_name and len(pseudonym) == PSEUDONYM_DIGITS and hexadecimal


def pseudonym_of(origin: str) -> str:
    return origin.rpartition("/")[2]


def witness_key_name(keeper_name: str) -> str:
    return f"{keeper_name}/witness"


def authority_of(identity_key: bytes) -> str:
    """The name that requests to a keeper are signed for: no two keepers share it."""
    return f"{key_id(identity_key)}.keeper"


def lend_info(request_sha256: bytes, role: Role, instance: int) -> bytes:
    """The HPKE info of lent shares: they open as this keeper's, for this request."""
    return enc(b"icr/v1/lend", request_sha256, role.encode("ascii"), u8(instance))


def notice_info(tenant: str, role: Role, instance: int, leaf: int) -> bytes:
    """The HPKE info of a debt: it opens as no other keeper's, tenant's or leaf's."""
    return enc(b"icr/v1/notice", text(tenant), role.encode("ascii"), u8(instance), u32(leaf))
