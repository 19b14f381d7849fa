"""What a sealer host holds: its signing key with the grant, the tenants' roots, the intake chain.

Files in this role's secrets folder, never in the database or a backup. The roots are public keys:
they lie here because whoever writes the database must not choose them. Who reads them can seal
records of today as this host, and open batches that wait; never what is already sealed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.seal.intake import IntakeChain, hour_number
from icrstore.shell.keyfile import KeyFile, read_public, read_secret
from icrstore.shell.stop import DATA, Stop
from icrstore.vault.files import replace_file
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import Grant
from icrstore.warrant.strict import Fields, StatementError, parse_object

_MEND = "copy it from another sealer host, or let deploy/provision.py make one (0600, once)"


@dataclass(frozen=True)
class SealerKeys:
    folder: Path
    signing: Ed25519PrivateKey
    grants: tuple[Envelope, ...]
    roots: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> "SealerKeys":
        """From ``sealer.key``, and for each tenant ``TENANT.grant`` and ``TENANT.root``."""
        grants = tuple(
            Envelope.parse(path.read_bytes(), "grant") for path in sorted(folder.glob("*.grant"))
        )
        roots = {
            path.stem: read_public(str(path), "signing") for path in sorted(folder.glob("*.root"))
        }
        return cls(folder, KeyFile.read(folder / "sealer.key", "signing").signing(), grants, roots)

    def grants_of(self, tenant: str) -> list[Envelope]:
        """Those that this tenant's root signed: its keepers refuse a word of another's."""
        return [grant for grant in self.grants if Grant.parse(grant).issuer == tenant]

    def intake(self) -> IntakeChain:
        """The chain from the oldest link that is kept. Raises `Stop`."""
        path = self.folder / "intake.json"
        try:
            fields = Fields(parse_object(read_secret(path)))
            made = IntakeChain(fields.integer("number", 0, 1 << 30), fields.hexadecimal("link", 32))
            fields.finish()
        except StatementError:
            raise Stop(DATA, f"{path}: no intake chain: {_MEND}") from None
        return made

    def forget_intake_before(self, moment: datetime) -> None:
        """Advance the kept link: what was sealed to earlier hours never opens again."""
        chain, number = self.intake(), hour_number(moment)
        if number > chain.number:
            write_intake(self.folder, chain.advance(number))


def write_intake(folder: Path, chain: IntakeChain) -> None:
    """Replace the link: a crash leaves the old one or the new one, never none."""
    kept = json.dumps({"number": chain.number, "link": chain.link.hex()})
    replace_file(folder / "intake.json", kept.encode())
