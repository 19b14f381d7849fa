"""The keys that a keeper is: three signing keys, a storage key, and the chain over the day keys.

Both files are secret. Who reads ``keys.json`` can sign as this keeper and read its private texts;
who reads ``chain.json`` can open the day keys of every day that is not yet expired, and of none
that is: ``kek[t+1] = P(kek[t], "kek")`` runs forward only. Neither opens a record without the
other role. ``chain.json`` is never backed up.
"""

import os
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper.errors import DayGone
from icrstore.keeper.files import replace_secret, write_whole
from icrstore.seal.encode import prf
from icrstore.seal.epoch import LIFE_DAYS, ROLES, Role
from icrstore.shell.harden import read_private
from icrstore.warrant.dsse import raw_public
from icrstore.warrant.strict import Fields, encode_base64, parse_object
from icrstore.warrant.strict import dump as dump_object

KEYS, CHAIN = "keys.json", "chain.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9./-]{0,79}", re.ASCII)


@dataclass(frozen=True)
class Identity:
    """Who this keeper is. The private halves never leave this value."""

    role: Role
    instance: int
    name: str
    identity: Ed25519PrivateKey
    log: Ed25519PrivateKey
    witness: Ed25519PrivateKey
    storage: bytes

    @classmethod
    def make(cls, role: Role, instance: int, name: str) -> "Identity":
        """Fresh keys. Raises ValueError for a name that cannot stand in a log's origin."""
        if not _NAME.fullmatch(name) or not 0 <= instance <= 255:
            raise ValueError("a keeper's name is lower-case a-z 0-9 . / -, its instance 0 to 255")
        new = Ed25519PrivateKey.generate
        return cls(role, instance, name, new(), new(), new(), os.urandom(32))

    @classmethod
    def load(cls, folder: Path) -> "Identity":
        fields = Fields(parse_object(read_private(folder / KEYS)))
        fields.version()
        role = fields.one_of("role", ROLES)
        made = cls(
            role=next(known for known in ROLES if known == role),
            instance=fields.integer("instance", 0, 255),
            name=fields.text("name", 80),
            identity=_private(fields, "identity"),
            log=_private(fields, "log"),
            witness=_private(fields, "witness"),
            storage=fields.base64("storage", 32),
        )
        fields.finish()
        return made

    def save(self, folder: Path) -> None:
        private = {
            name: encode_base64(key.private_bytes_raw())
            for name, key in (
                ("identity", self.identity),
                ("log", self.log),
                ("witness", self.witness),
            )
        }
        kept = {"v": 1, "role": self.role, "instance": self.instance, "name": self.name, **private}
        write_whole(folder / KEYS, dump_object({**kept, "storage": encode_base64(self.storage)}))

    def public(self) -> dict[str, Any]:
        """What anyone may know, as ``GET /identity`` and the trust file say it."""
        return {
            "role": self.role,
            "instance": self.instance,
            "name": self.name,
            "identity_key": encode_base64(raw_public(self.identity)),
            "log_key": encode_base64(raw_public(self.log)),
            "witness_key": encode_base64(raw_public(self.witness)),
        }


@dataclass(frozen=True)
class Chain:
    """One link of the key chain: ``link`` is kek[day]."""

    day: date
    link: bytes

    @classmethod
    def start(cls, day: date) -> "Chain":
        return cls(day, os.urandom(32))

    @classmethod
    def load(cls, folder: Path) -> "Chain":
        fields = Fields(parse_object(read_private(folder / CHAIN)))
        made = cls(date.fromisoformat(fields.text("day", 10)), fields.base64("link", 32))
        fields.finish()
        return made

    def save(self, folder: Path) -> None:
        """Replace the file, whole. From here the link before this one is gone."""
        kept = {"day": self.day.isoformat(), "link": encode_base64(self.link)}
        replace_secret(folder / CHAIN, dump_object(kept))

    def advance(self, day: date) -> "Chain":
        """The chain from ``day`` on. Raises `DayGone` for a day before this link's."""
        if day < self.day:
            raise DayGone("that link is gone")
        link = self.link
        for _ in range((day - self.day).days):
            link = prf(link, "kek")
        return Chain(day, link)

    def wrapping_key(self, day: date) -> bytes:
        """``kek[D + 364]``: what the seed of day D is wrapped under. Raises `DayGone`."""
        return self.advance(date.fromordinal(day.toordinal() + LIFE_DAYS)).link


def _private(fields: Fields, name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(fields.base64(name, 32))
