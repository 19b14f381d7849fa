"""Revocation: the root that granted a key takes it back, for one tenant, from now on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from icrstore.warrant.dsse import Envelope
from icrstore.warrant.strict import encode_base64, time_text


@dataclass(frozen=True)
class Revocation:
    """``issuer`` is who granted: an authority, or the tenant itself."""

    tenant: str
    issuer: str
    key: bytes
    revoked_at: datetime
    reason: str | None = None

    @classmethod
    def parse(cls, envelope: Envelope) -> "Revocation":
        fields = envelope.fields()
        made = cls(
            tenant=fields.text("tenant", 64),
            issuer=fields.text("issuer", 64),
            key=fields.base64("key", 32),
            revoked_at=fields.time("revoked_at"),
            reason=fields.text("reason") if fields.has("reason") else None,
        )
        fields.finish()
        return made

    def to_fields(self) -> dict[str, Any]:
        told = {
            "v": 1,
            "tenant": self.tenant,
            "issuer": self.issuer,
            "key": encode_base64(self.key),
            "revoked_at": time_text(self.revoked_at),
        }
        return told if self.reason is None else {**told, "reason": self.reason}
