"""The caller's side of the keepers: asks both, carries each one's checkpoints to the other.

Everything that a keeper says is checked by its pinned keys before it is used. Every step is safe
to take again: after a crash, start from `Keepers.commit` with the same statements and the same
engine key, and the keepers answer with the leaves that they wrote before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from icrstore.keeper.answers import (
    Committed,
    KeeperRefused,
    KeepersRefused,
    KeeperUnreachable,
    KeeperUntrue,
    Logged,
    Proven,
    Shares,
    epochs_sha256,
    read_shares,
    take_epochs,
)
from icrstore.keeper.calls import MAX_ANSWER_BYTES, Keeper
from icrstore.keeper.carry import Carrier
from icrstore.keeper.evidence import EvidenceError
from icrstore.keeper.leaves import told_of
from icrstore.keeper.names import lend_info
from icrstore.seal.encode import text
from icrstore.seal.epoch import ROLES, Role, other_role
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Disclosure
from icrstore.warrant.statements import Request, Selector, Warrant
from icrstore.wire import hpke

__all__ = [
    "Keeper",
    "KeeperRefused",
    "KeeperUnreachable",
    "KeeperUntrue",
    "Keepers",
    "KeepersRefused",
    "Question",
]


@dataclass(frozen=True)
class Question:
    """A request as it is brought to the keepers, with all that shows it is allowed."""

    tenant: str
    warrant: Envelope
    request: Envelope
    grants: tuple[Envelope, ...]
    engine_key: Envelope

    def to_object(self) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "warrant": self.warrant.to_object(),
            "request": self.request.to_object(),
            "grants": [grant.to_object() for grant in self.grants],
            "engine_key": self.engine_key.to_object(),
        }

    def told(self, type_: str) -> dict[str, Any]:
        """What the private text of its leaves must say."""
        warrant, request = Warrant.parse(self.warrant), self._request_said
        return told_of(type_, warrant, self.warrant.sha256, request, self.request.sha256)

    @property
    def subjects(self) -> list[bytes]:
        """What each selector's leaf commits to."""
        return [one.subject for one in self.selectors]

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """What shares are lent for, in every epoch."""
        return self._request_said.selectors

    @cached_property
    def _request_said(self) -> Request:
        return Request.parse(self.request)


class Keepers:
    """Both roles. Each step asks both and returns what both have logged, cosigned by the other."""

    def __init__(self, keepers: Mapping[Role, Keeper]) -> None:
        """Raises ValueError unless there is one of each role."""
        if set(keepers) != set(ROLES):
            raise ValueError("there must be one keeper of each role")
        self._keepers = dict(keepers)
        self._carriers = {
            role: Carrier(keeper, keepers[other_role(role)]) for role, keeper in keepers.items()
        }

    def name(self, role: Role) -> str:
        return self._keepers[role].identity.name

    def commit(self, question: Question) -> dict[Role, Committed]:
        """Log the question at both; what each keeper's list of epochs says may differ.

        Raises `KeepersRefused` only after both were asked: each refuses, and logs it, by itself.
        """
        told, subjects = question.told("commit"), question.subjects
        body, answered, refusals = question.to_object(), {}, []
        for role, keeper in self._keepers.items():
            try:
                logged, rest = keeper.logged("/v1/commit", body)
            except KeeperRefused as refused:
                refusals.append(refused)
                continue
            epochs = keeper.read(lambda rest=rest: take_epochs(rest))  # type: ignore[misc]
            for said in self._checked(role, logged, told, subjects):
                if said["epochs_sha256"] != epochs_sha256(epochs).hex():
                    raise keeper.untrue("epochs")
            answered[role] = logged, epochs
        if refusals:
            raise KeepersRefused(refusals)
        return {
            role: Committed(self._carriers[role].carry(logged, told), epochs)
            for role, (logged, epochs) in answered.items()
        }

    def release(self, question: Question, commits: Mapping[Role, Committed]) -> dict[Role, Proven]:
        """Have both log the release, against both commits."""
        evidence = {role: made.proven.evidence.to_object() for role, made in commits.items()}
        body = {"request_sha256": question.request.sha256.hex(), "evidence": evidence}
        return self._log("/v1/release", body, question.told("release"), question.subjects)

    def lend(
        self,
        question: Question,
        commits: Mapping[Role, Committed],
        releases: Mapping[Role, Proven],
        engine_key: hpke.PrivateKey,
    ) -> dict[Role, Shares]:
        """Each role's shares of the epochs that it listed, opened."""
        return {
            role: self._lend(keeper, question, commits[role], releases[role], engine_key)
            for role, keeper in self._keepers.items()
        }

    def disclose(self, question: Question, disclosure: Envelope) -> dict[Role, Proven]:
        """Have both log whom the answer names. Only after this may the answer leave.

        Raises `KeepersRefused` only after both were asked, so that each can say whom it is not to
        name.
        """
        named = Disclosure.parse(disclosure)
        told = {
            **question.told("disclosure"),
            "answer_sha256": named.answer_sha256.hex(),
            "opened_accounts": named.opened_accounts,
        }
        subjects = [text(account) for account in named.accounts]
        body = {"disclosure": disclosure.to_object()}
        proven = self._log("/v1/disclosure", body, told, subjects, asks_all=True)
        for role, made in proven.items():
            if self._keepers[role].read(made.records) != list(named.records):
                raise self._keepers[role].untrue("records")
        return proven

    def _log(
        self,
        path: str,
        body: Mapping[str, Any],
        told: Mapping[str, Any],
        subjects: Sequence[bytes],
        asks_all: bool = False,
    ) -> dict[Role, Proven]:
        answered, refusals = {}, []
        for role, keeper in self._keepers.items():
            try:
                answered[role], _ = keeper.logged(path, body)
            except KeeperRefused as refused:
                refusals.append(refused)
                if asks_all:
                    continue
                break
            self._checked(role, answered[role], told, subjects)
        if refusals:
            raise KeepersRefused(refusals)
        return {role: self._carriers[role].carry(logged, told) for role, logged in answered.items()}

    def _checked(
        self, role: Role, logged: Logged, told: Mapping[str, Any], subjects: Sequence[bytes]
    ) -> list[Mapping[str, Any]]:
        try:
            return logged.check(self._carriers[role].keys, told, subjects)
        except EvidenceError as error:
            raise self._keepers[role].untrue("leaves") from error

    def _lend(
        self,
        keeper: Keeper,
        question: Question,
        committed: Committed,
        released: Proven,
        engine_key: hpke.PrivateKey,
    ) -> Shares:
        request_sha256 = question.request.sha256
        evidence = released.evidence.to_object()
        try:
            fields = keeper.post(
                "/v1/lend", {"request_sha256": request_sha256.hex(), "evidence": evidence}
            )
        except KeeperRefused as refused:
            raise KeepersRefused([refused]) from refused
        sealed = keeper.read(lambda: fields.base64("sealed", longest=MAX_ANSWER_BYTES))
        info = lend_info(request_sha256, keeper.role, keeper.identity.instance)
        try:
            plain = hpke.open_(engine_key, info, sealed)
            return read_shares(plain, committed.epochs, question.selectors)
        except (hpke.DoesNotOpen, EvidenceError) as error:
            raise keeper.untrue("shares") from error
