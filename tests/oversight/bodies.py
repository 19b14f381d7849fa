"""Oversight bodies with their people, and what they send."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accounts.models import OversightBody, Tenant
from icrstore.query.models import LodgedWarrant, Query
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.statements import Grant
from icrstore.warrant.strict import encode_base64
from tests.api.web import Caller, Told, Web
from tests.keeper.papers import utc_now

BODY = "commissioner"
LISTS = ("accesses", "refusals", "notices", "gaps")


@dataclass(frozen=True)
class Body:
    """An oversight body: its root and one person."""

    name: str = BODY
    root: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    person: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def pin(self, tenant: str) -> "Body":
        root_key = raw_public(self.root)
        OversightBody.objects.create(tenant_id=tenant, name=self.name, root_key=root_key)
        return self

    def grant(self, **changes: Any) -> Envelope:
        """The person's; ``root`` is who signs it."""
        root = changes.pop("root", self.root)
        now = utc_now()
        fields = {
            "issuer": self.name, "role": "oversight", "key": raw_public(self.person),
            "holder": "Ada Hart", "not_before": now - timedelta(days=1),
            "not_after": now + timedelta(days=1), **changes,
        }  # fmt: skip
        return Envelope.sign("grant", Grant(**fields).to_fields(), root)

    def get(
        self, web: Web, tenant: str, what: str, *, grant: Envelope | None = None,
        key: Ed25519PrivateKey | None = None,
    ) -> Told:  # fmt: skip
        """As the person does; ``grant`` and ``key`` are another's."""
        target = f"/v1/oversight/{tenant}/{what}"
        caller = Caller(web, key or self.person)
        shown = header(grant or self.grant())
        return web.send("GET", target, caller.signed("GET", target, shown))


def header(grant: Envelope) -> dict[str, str]:
    return {"Grant": f":{encode_base64(grant.encode())}:"}


def put(
    tenant: Tenant, authority: str = "police", *, state: str = "answered", selectors: int = 1,
    keepers: Sequence[Mapping[str, str]] = (), sha256: bytes | None = None,
    ended_at: datetime | None = None,
) -> Query:  # fmt: skip
    """A question as the database has it once it ended."""
    now = utc_now()
    warrant = LodgedWarrant.objects.create(
        tenant=tenant, sha256=secrets.token_bytes(32), authority=authority, sealed=b"",
        valid_from=now, valid_to=now,
    )  # fmt: skip
    return Query.objects.create(
        tenant=tenant, warrant=warrant, sha256=sha256 or secrets.token_bytes(32), sealed=b"",
        selectors=selectors, state=state, keepers=list(keepers), ended_at=ended_at or now,
    )  # fmt: skip
