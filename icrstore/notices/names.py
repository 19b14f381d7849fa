"""The lookup key, which finds a subscriber without knowing any, and what is made from it.

Held by web and the notifier as a file, never in the database. Who has it and the database can test
whether a guessed account is there, and with the account read what that subscriber may read.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from icrstore.seal.encode import enc, prf, text, u32
from icrstore.seal.epoch import Role
from icrstore.shell.keyfile import read_secret
from icrstore.shell.stop import DATA, Stop


@dataclass(frozen=True)
class LookupKey:
    raw: bytes = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> "LookupKey":
        """From a file of 64 hex digits that only its owner reads. Raises `Stop`."""
        try:
            raw = bytes.fromhex(read_secret(path).decode("ascii").strip())
        except ValueError:
            raw = b""
        if len(raw) != 32:
            raise Stop(DATA, f"{path}: not a lookup key: 64 hex digits, restore it from a backup")
        return cls(raw)

    def find(self, tenant: str, account: str) -> bytes:
        """``HMAC-SHA256(key, enc("icr/v1/subscriber", tenant, account))``."""
        return prf(self.raw, "subscriber", text(tenant), text(account))

    def access(self, tenant: str, account: str) -> bytes:
        """The key of what this subscriber may read: none without their account."""
        return prf(self.raw, "access", text(tenant), text(account))

    def contact(
        self, tenant: str, account: str, channel: str, contact: str, sealed: bytes
    ) -> bytes:
        """Tells one contact from another, and what was loaded from what somebody else sealed."""
        parts = (text(tenant), text(account), text(channel), text(contact), sealed)
        return prf(self.raw, "contact", *parts)

    def network(self, network: str) -> bytes:
        """Tells one network that asks for codes from another."""
        return prf(self.raw, "network", text(network))

    def message(self, tenant: str, account: str, about: Iterable[bytes]) -> str:
        """The id of the one message about these things: sent twice, it is the same message."""
        return prf(self.raw, "message", text(tenant), text(account), *sorted(about))[:16].hex()


def subscriber_info(tenant: str, lookup: bytes) -> bytes:
    """The HPKE info of a subscriber's account and contact."""
    return enc(b"icr/v1/subscriber", text(tenant), lookup)


def leaf_place(tenant: str, lookup: bytes, role: Role, leaf: int) -> bytes:
    """Where a leaf's sealed text belongs: moved to another row it does not open."""
    return enc(b"icr/v1/notice-leaf", text(tenant), lookup, role.encode("ascii"), u32(leaf))
