"""The trust file: the public keys by which anyone checks an installation.

It is pinned, never fetched from whom it speaks about: an installer writes it, people carry it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from icrstore.seal.epoch import ROLES, Role
from icrstore.warrant.strict import Fields, StatementError, parse_object


@dataclass(frozen=True)
class KeeperIdentity:
    """A keeper instance: its name and its three Ed25519 public keys (32 bytes each)."""

    role: Role
    instance: int
    name: str
    identity_key: bytes
    log_key: bytes
    witness_key: bytes


@dataclass(frozen=True)
class Trust:
    keepers: tuple[KeeperIdentity, ...]
    engines: Mapping[str, bytes]
    authorities: Mapping[str, bytes]
    sealers: Mapping[str, bytes]
    receipt_key: bytes

    @classmethod
    def parse(cls, encoded: bytes) -> "Trust":
        """From the file's bytes. Raises `StatementError`."""
        fields = Fields(parse_object(encoded), "trust")
        made = cls(
            keepers=fields.items("keepers", _keeper, 1, 16),
            engines=_keys(fields, "engines"),
            authorities=_keys(fields, "authorities"),
            sealers=_keys(fields, "sealers"),
            receipt_key=fields.base64("receipt_key", 32),
        )
        fields.finish()
        if {keeper.role for keeper in made.keepers} != set(ROLES):
            raise StatementError("missing-role", "trust.keepers")
        return made

    def keeper(self, role: Role) -> KeeperIdentity:
        """The first instance of a role."""
        return next(keeper for keeper in self.keepers if keeper.role == role)


def _keeper(value: Any, place: str) -> KeeperIdentity:
    fields = Fields(value, place)
    role = fields.one_of("role", ROLES)
    made = KeeperIdentity(
        role=next(known for known in ROLES if known == role),
        instance=fields.integer("instance", 0, 255),
        name=fields.text("name", 128),
        identity_key=fields.base64("identity_key", 32),
        log_key=fields.base64("log_key", 32),
        witness_key=fields.base64("witness_key", 32),
    )
    fields.finish()
    return made


def _keys(fields: Fields, name: str) -> dict[str, bytes]:
    value = fields.take(name)
    if not isinstance(value, dict) or len(value) > 100:
        raise StatementError("not-an-object", f"trust.{name}")
    listed = Fields(value, f"trust.{name}")
    return {key: listed.base64(key, 32) for key in value}
