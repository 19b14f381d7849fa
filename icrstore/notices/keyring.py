"""What a notifier holds: a signing key, the key that opens contacts and debts, the lookup key.

Files in this role's secrets folder. Who reads them can read who the subscribers are and what was
asked about them, and can say that somebody was told; no record and no answer opens with them.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.notices.names import LookupKey
from icrstore.shell.keyfile import KeyFile
from icrstore.wire import hpke

LOOKUP = "lookup.key"


@dataclass(frozen=True)
class NotifierKeys:
    signing: Ed25519PrivateKey
    opening: hpke.PrivateKey
    lookup: LookupKey

    @classmethod
    def load(cls, folder: Path) -> "NotifierKeys":
        return cls(
            KeyFile.read(folder / "notifier.key", "signing").signing(),
            KeyFile.read(folder / "opening.key", "recipient").recipient(),
            LookupKey.read(folder / LOOKUP),
        )
