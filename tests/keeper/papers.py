"""What people sign: grants, warrants, requests, and the statements of an engine."""

import dataclasses
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper.client import Question
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.machines import Disclosure, EngineKey
from icrstore.warrant.statements import AccountSelector, Grant, HourRange, Request, Warrant
from icrstore.wire import hpke

TENANT, AUTHORITY, ENGINE = "demo", "Avon Constabulary", "engine-1"
ACCOUNT = "17-zoe"
PEOPLE = (
    "root", "applicant", "approver", "investigator", "tenant", "sealer", "engine", "engine-2",
    "notifier", "stranger",
)  # fmt: skip


def utc_now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def last_hour() -> datetime:
    return hour_start(utc_now()) - HOUR


@dataclass
class Papers:
    """Everyone's keys, a private one of each of PEOPLE by name, and what is signed by them."""

    keys: dict[str, Ed25519PrivateKey]
    engine_key: hpke.PrivateKey = field(default_factory=hpke.PrivateKey.generate, kw_only=True)

    def public(self, name: str) -> bytes:
        return raw_public(self.keys[name])

    def grant(self, role: str, holder: str | None = None, **changes: Any) -> Envelope:
        """A person's grant by the authority's root; a sealer's by the tenant's."""
        signer, issuer = ("tenant", TENANT) if role == "sealer" else ("root", AUTHORITY)
        made = Grant(
            issuer=issuer,
            role=role,
            key=self.public(holder or role),
            holder=holder or role,
            not_before=utc_now() - timedelta(days=1),
            not_after=utc_now() + timedelta(days=30),
        )
        made = dataclasses.replace(made, **changes)
        return Envelope.sign("grant", made.to_fields(), self.keys[signer])

    def grants(self) -> tuple[Envelope, ...]:
        return tuple(self.grant(role) for role in ("applicant", "approver", "investigator"))

    def warrant_of(self, **changes: Any) -> Warrant:
        """A warrant for everything of one account in the last two days, 50 questions."""
        made = Warrant(
            id="2026/117",
            nonce=secrets.token_bytes(16),
            tenant=TENANT,
            instrument="authorisation",
            authority=AUTHORITY,
            purpose="services",
            basis="a reason",
            selectors=(AccountSelector(ACCOUNT),),
            targets=(),
            hours=HourRange(last_hour() - 47 * HOUR, last_hour() + HOUR),
            valid_from=utc_now() - timedelta(hours=1),
            valid_to=utc_now() + timedelta(days=1),
            max_requests=50,
            max_candidates=1,
            recipient_keys=(self.engine_key.public_bytes(),),
        )
        return dataclasses.replace(made, **changes)

    def warrant(self, value: Warrant, *signers: str) -> Envelope:
        names = signers or ("applicant", "approver")
        return Envelope.sign("warrant", value.to_fields(), *(self.keys[name] for name in names))

    def request_of(self, warrant: Envelope, **changes: Any) -> Request:
        """A request for all that a warrant allows."""
        under = Warrant.parse(warrant)
        made = Request(
            request_id=secrets.token_bytes(16),
            warrant_sha256=warrant.sha256,
            selectors=under.selectors,
            targets=under.targets,
            hours=(under.hours,),
            urgent=False,
            nonce=secrets.token_bytes(16),
            created=utc_now(),
        )
        return dataclasses.replace(made, **changes)

    def request(self, value: Request, signer: str = "investigator") -> Envelope:
        return Envelope.sign("request", value.to_fields(), self.keys[signer])

    def engine_statement(self, signer: str = "engine", **changes: Any) -> Envelope:
        public, ends = self.engine_key.public_bytes(), utc_now() + timedelta(hours=23)
        made = dataclasses.replace(EngineKey(TENANT, ENGINE, public, ends), **changes)
        return Envelope.sign("engine-key", made.to_fields(), self.keys[signer])

    def question_at(self, ahead: timedelta, hours: HourRange) -> Question:
        """A question that is put after so long, by papers of that time."""
        now = utc_now() + ahead
        first, last = now - timedelta(days=1), now + timedelta(days=1)
        grants = tuple(
            self.grant(role, not_before=first, not_after=last)
            for role in ("applicant", "approver", "investigator")
        )
        made = self.warrant_of(hours=hours, valid_from=first, valid_to=last)
        warrant = self.warrant(made)
        request = self.request(self.request_of(warrant, created=now))
        engine_key = self.engine_statement(not_after=now + 23 * HOUR)
        return Question(TENANT, warrant, request, grants, engine_key)

    def question(self, warrant: Envelope | None = None, **changes: Any) -> Question:
        """A question that every keeper takes; changes are of the request."""
        warrant = warrant or self.warrant(self.warrant_of())
        request = self.request(self.request_of(warrant, **changes))
        return Question(TENANT, warrant, request, self.grants(), self.engine_statement())

    def disclosure(
        self, question: Question, *accounts: str, answer: bytes = b"{}", records: int = 0
    ) -> Envelope:
        made = Disclosure(
            question.request.sha256, accounts, (records,) * len(accounts), len(accounts),
            hashlib.sha256(answer).digest(),
        )  # fmt: skip
        return Envelope.sign("disclosure", made.to_fields(), self.keys["engine"])
