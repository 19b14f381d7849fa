"""Who may sign what: grants from a pinned root, the two signatures of a warrant, a request's one.

Keepers, web and engine check by these functions; only the roots that they are given differ.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from icrstore.warrant.dsse import Envelope, key_id
from icrstore.warrant.machines import EngineKey
from icrstore.warrant.scope import check_within
from icrstore.warrant.statements import Grant, Request, Warrant
from icrstore.warrant.strict import StatementError

SKEW = timedelta(seconds=120)
ENGINE_KEY_LIFE = timedelta(hours=24)
REQUEST_LIFE = timedelta(hours=1)


@dataclass(frozen=True)
class Granted:
    """The grants that the root of one issuer signed and that hold now."""

    issuer: str
    grants: tuple[Grant, ...]

    @classmethod
    def check(cls, envelopes: Iterable[Envelope], issuer: str, root: bytes,
              now: datetime) -> "Granted":  # fmt: skip
        """Every envelope verified against the root of ``issuer``. Raises `StatementError`."""
        made = []
        for envelope in envelopes:
            envelope.verify(root)
            grant = Grant.parse(envelope)
            if grant.issuer != issuer:
                raise StatementError("wrong-issuer", "grant")
            if grant.not_before - SKEW <= now < grant.not_after:
                made.append(grant)
        return cls(issuer, tuple(made))

    def without(self, revoked: Collection[bytes]) -> "Granted":
        """But for keys that the issuer took back."""
        kept = tuple(grant for grant in self.grants if grant.key not in revoked)
        return Granted(self.issuer, kept)

    def keys(self, role: str) -> list[bytes]:
        return [grant.key for grant in self.grants if grant.role == role]

    def signer(self, envelope: Envelope, role: str) -> bytes:
        """A key of this role that signed. Raises `StatementError` (``no-ROLE``)."""
        return self.signers(envelope, role)[0].key

    def signers(self, envelope: Envelope, role: str) -> list[Grant]:
        """The grants of this role whose keys signed, at least one. Raises `StatementError`."""
        named = {signature.keyid for signature in envelope.signatures}
        signed = [g for g in self.grants if g.role == role and key_id(g.key) in named]
        if not signed:
            raise StatementError(f"no-{role}", envelope.kind)
        for grant in signed:
            envelope.verify(grant.key)
        return signed

    def check_authority(self, warrant: Warrant) -> None:
        """Raise `StatementError` unless these are grants of the warrant's own authority."""
        if warrant.authority != self.issuer:
            raise StatementError("wrong-authority", "authority")


def check_warrant(envelope: Envelope, granted: Granted, now: datetime) -> Warrant:
    """A warrant that may be used now.

    1. An applicant and an approver signed the same bytes: two keys, of two holders.
    2. It is well formed.
    3. They are its own authority's.
    4. It is in force.

    Raises `StatementError`.
    """
    applicants = granted.signers(envelope, "applicant")
    approvers = granted.signers(envelope, "approver")
    # A key may have both roles, and a person two keys, but nobody approves alone.
    if not any(_are_two(one, other) for one in applicants for other in approvers):
        raise StatementError("applicant-is-approver", "warrant")

    warrant = Warrant.parse(envelope)

    granted.check_authority(warrant)

    if now < warrant.valid_from - SKEW:
        raise StatementError("not-yet-valid", "warrant")
    if now >= warrant.valid_to:
        raise StatementError("expired", "warrant")
    return warrant


def _are_two(one: Grant, other: Grant) -> bool:
    return one.key != other.key and one.holder != other.holder


def check_request(
    envelope: Envelope, warrant: Warrant, warrant_sha256: bytes, granted: Granted, now: datetime
) -> Request:
    """A request that may be put now under a checked warrant.

    1. An investigator of the warrant's authority signed it.
    2. It is well formed, recent, and names this warrant.
    3. Everything it asks is within the warrant.

    Raises `StatementError`.
    """
    granted.signer(envelope, "investigator")
    granted.check_authority(warrant)

    request = Request.parse(envelope)
    if request.warrant_sha256 != warrant_sha256:
        raise StatementError("wrong-warrant", "request")
    if not now - REQUEST_LIFE <= request.created <= now + SKEW:
        raise StatementError("not-recent", "created")

    check_within(request, warrant)
    return request


def check_engine_key(
    envelope: Envelope, engines: Mapping[str, bytes], tenant: str, now: datetime
) -> EngineKey:
    """An engine's key of today, signed by a pinned engine identity. Raises `StatementError`."""
    made = EngineKey.parse(envelope)
    if made.tenant != tenant:
        raise StatementError("wrong-tenant", "engine-key")
    if made.engine not in engines:
        raise StatementError("unknown-engine", "engine-key")
    envelope.verify(engines[made.engine])
    if not now < made.not_after <= now + ENGINE_KEY_LIFE + SKEW:
        raise StatementError("expired", "engine-key")
    return made
