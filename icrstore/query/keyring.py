"""What an engine holds: its identity, and the key to what was lodged.

Files in this role's secrets folder. Who reads them can read what is asked, and can ask keepers for
what an open request covers; nothing opens without both keepers logging it first.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.seal.encode import enc
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import EngineKey
from icrstore.wire import hpke

LIFE = timedelta(hours=23)


@dataclass(frozen=True)
class ShareKey:
    """The key pair of one query: keepers seal shares to it, and it ends with the query."""

    private: hpke.PrivateKey
    statement: Envelope


@dataclass(frozen=True)
class EngineKeys:
    name: str
    identity: Ed25519PrivateKey
    storage: hpke.PrivateKey

    @classmethod
    def load(cls, folder: Path, name: str) -> "EngineKeys":
        return cls(
            name,
            KeyFile.read(folder / "engine.key", "signing").signing(),
            KeyFile.read(folder / "storage.key", "recipient").recipient(),
        )

    def new_share_key(self, tenant: str, now: datetime) -> ShareKey:
        private = hpke.PrivateKey.generate()
        statement = EngineKey(tenant, self.name, private.public_bytes(), now + LIFE)
        return ShareKey(private, Envelope.sign("engine-key", statement.to_fields(), self.identity))

    def keep(self, made: ShareKey, request_sha256: bytes) -> bytes:
        """The share key as its query's row keeps it: sealed to this engine's storage key.

        An engine that is back after a crash needs the same key, since a keeper lends to the one
        that it logged.
        """
        content = made.private.private_bytes() + made.statement.encode()
        return hpke.seal(self.storage.public_bytes(), _info(request_sha256), content)

    def kept(self, sealed: bytes, request_sha256: bytes) -> ShareKey:
        """Raises DoesNotOpen, `StatementError`."""
        content = hpke.open_(self.storage, _info(request_sha256), sealed)
        private, statement = content[: hpke.PRIVATE_BYTES], content[hpke.PRIVATE_BYTES :]
        return ShareKey(hpke.PrivateKey(private), Envelope.parse(statement, "engine-key"))


def _info(request_sha256: bytes) -> bytes:
    return enc(b"icr/v1/share-key", request_sha256)
