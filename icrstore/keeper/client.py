"""The caller's side of the keepers: carries each one's checkpoints to the other, believes neither.

Everything that a keeper says is checked by its pinned keys before it is used. Every step is safe
to take again: after a crash, start from `Keepers.commit` with the same statements and the same
engine key, and the keepers answer with the leaves that they wrote before.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

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
    read_proof,
    read_shares,
    take_epochs,
)
from icrstore.keeper.evidence import Evidence, EvidenceError, LogKeys, check_evidence
from icrstore.keeper.leaves import told_of
from icrstore.keeper.names import authority_of, lend_info, pseudonym_of
from icrstore.seal.encode import text
from icrstore.seal.epoch import ROLES, Kind, Role
from icrstore.tlog.checkpoint import parse_checkpoint
from icrstore.tlog.errors import LogError
from icrstore.tlog.note import Note, parse_note
from icrstore.tlog.witness import add_cosignatures, format_request
from icrstore.warrant.dsse import Envelope, key_id, raw_public
from icrstore.warrant.statements import Disclosure, KeySchedule, Request, Warrant
from icrstore.warrant.strict import Fields, StatementError, dump, encode_base64, parse_object
from icrstore.warrant.trust import KeeperIdentity
from icrstore.wire import hpke
from icrstore.wire.digest import content_digest_of
from icrstore.wire.errors import CallFailed
from icrstore.wire.httpunix import Peer, Response
from icrstore.wire.signatures import new_nonce, sign_request

T = TypeVar("T")

TIMEOUT_SECONDS = 30.0
MAX_ANSWER_BYTES = 64 << 20
# Refusals that say nothing about the question.
_TRANSIENT = ("busy", "store-lost", "fault")
# Somebody else's leaves may overtake ours this often between two calls.
_CARRIES = 10

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
        warrant, request = Warrant.parse(self.warrant), Request.parse(self.request)
        return told_of(type_, warrant, self.warrant.sha256, request, self.request.sha256)

    @property
    def subjects(self) -> list[bytes]:
        """What each selector's leaf commits to."""
        return [one.sealed_names()[0] for one in Request.parse(self.request).selectors]

    @property
    def names(self) -> list[tuple[Kind, bytes]]:
        """What a share is lent for, in every epoch."""
        selectors = Request.parse(self.request).selectors
        return [(one.kind, name) for one in selectors for name in one.sealed_names()]


class Keeper:
    """One keeper, called by one signing key. Safe to use from many threads."""

    def __init__(
        self,
        identity: KeeperIdentity,
        address: str,
        caller: Ed25519PrivateKey,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``address`` is ``unix:/path`` or loopback; ``caller`` is an engine's or sealer's key."""
        self.identity = identity
        self._caller, self._clock = caller, clock
        self._authority = authority_of(identity.identity_key)
        self._peer = Peer(address, self._authority, TIMEOUT_SECONDS, MAX_ANSWER_BYTES)

    @property
    def role(self) -> Role:
        return self.identity.role

    def key_schedule(self, tenant: str, first: str, last: str) -> Envelope:
        """The signed public day keys (`KeySchedule`) of days ``first`` to ``last``, checked."""
        query = urlencode({"tenant": tenant, "from": first, "to": last})
        fields = self._get(f"/v1/key-schedule?{query}")
        try:
            envelope = Envelope.read(fields, "key-schedule")
            envelope.verify(self.identity.identity_key)
            schedule = KeySchedule.parse(envelope)
        except StatementError as error:
            raise self.untrue("key-schedule") from error
        whose = (schedule.tenant, schedule.role, schedule.instance)
        if whose != (tenant, self.role, self.identity.instance):
            raise self.untrue("key-schedule")
        return envelope

    def register(
        self, epochs: Sequence[tuple[Envelope, bytes]], grants: Sequence[Envelope]
    ) -> dict[bytes, str | None]:
        """Hand in epoch statements, each with this keeper's seal; the code of each eid's refusal,
        None where the keeper logged it."""
        listed = [
            {"statement": statement.to_object(), "seal": encode_base64(seal)}
            for statement, seal in epochs
        ]
        shown = [grant.to_object() for grant in grants]
        fields = self.post("/v1/epochs", {"epochs": listed, "grants": shown})
        return dict(self.read(lambda: fields.items("acks", _ack, 0, len(epochs))))

    def logged(self, path: str, body: Mapping[str, Any]) -> tuple[Logged, Fields]:
        """The leaves that a call answers, unchecked, and the fields beside them."""
        fields = self.post(path, body)
        return self.read(lambda: Logged.take(fields)), fields

    def post(self, path: str, body: Mapping[str, Any]) -> Fields:
        """A signed call. Raises `KeeperRefused`, `KeeperUnreachable`, `KeeperUntrue`."""
        content = dump(body)
        headers = {
            "Content-Type": "application/json",
            "Content-Digest": content_digest_of(content),
        }
        signature = sign_request(
            "POST",
            self._authority,
            path,
            headers,
            key=self._caller,
            keyid=key_id(raw_public(self._caller)),
            created_unix_seconds=int(self._clock()),
            nonce=new_nonce(),
        )
        return Fields(self._answer(self._call("POST", path, {**headers, **signature}, content)))

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: Note) -> bytes | int:
        """Its cosignature lines; or, where it has seen another size last, that size."""
        body = format_request(old_size, proof, note)
        response = self._call("POST", "/add-checkpoint", {"Content-Type": "text/plain"}, body)
        if response.status == 200:
            return response.body
        told = response.body.removesuffix(b"\n")
        if response.status == 409 and told.isdigit() and len(told) < 19:
            return int(told)
        self._answer(response)
        raise self.untrue("add-checkpoint")

    def checkpoint(self, origin: str) -> str:
        """The latest checkpoint of a log, unchecked."""
        response = self._call("GET", f"/log/{pseudonym_of(origin)}/checkpoint", {})
        if response.status != 200:
            self._answer(response)
        return response.body.decode("utf-8", "replace")

    def consistency(self, origin: str, old: int, new: int) -> tuple[bytes, ...]:
        fields = self._get(f"/log/{pseudonym_of(origin)}/consistency?from={old}&to={new}")
        return self.read(lambda: read_proof(Fields(fields).take("proof"), "proof"))

    def inclusion(self, origin: str, index: int, size: int) -> tuple[bytes, ...]:
        fields = self._get(f"/log/{pseudonym_of(origin)}/inclusion?index={index}&size={size}")
        return self.read(lambda: read_proof(Fields(fields).take("proof"), "proof"))

    def read(self, reads: Callable[[], T]) -> T:
        """What ``reads`` makes of an answer. Raises `KeeperUntrue` where it is not well formed."""
        try:
            return reads()
        except StatementError as error:
            raise self.untrue("malformed") from error

    def untrue(self, code: str) -> KeeperUntrue:
        return KeeperUntrue(self.role, code)

    def _get(self, target: str) -> dict[str, Any]:
        return self._answer(self._call("GET", target, {}))

    def _call(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Response:
        try:
            return self._peer.call(method, target, headers, body)
        except CallFailed as failed:
            raise KeeperUnreachable(self.role, failed.reason) from failed

    def _answer(self, response: Response) -> dict[str, Any]:
        """The object in an answer of 200. Raises `KeeperRefused` and its kin otherwise."""
        parsed = self.read(lambda: parse_object(response.body, MAX_ANSWER_BYTES))
        if response.status == 200:
            return parsed
        code = parsed.get("code")
        if not isinstance(code, str) or not code.replace("-", "").isalnum():
            raise self.untrue("malformed")
        if code in _TRANSIENT:
            raise KeeperUnreachable(self.role, code)
        raise KeeperRefused(self.role, code)


class Keepers:
    """Both roles. Each step asks both and returns what both have logged, cosigned by the other."""

    def __init__(self, keepers: Mapping[Role, Keeper]) -> None:
        """Raises ValueError unless there is one of each role."""
        if set(keepers) != set(ROLES):
            raise ValueError("there must be one keeper of each role")
        self._keepers = dict(keepers)
        # The size of each log that its witness cosigned last, as far as we know: saves a 409.
        self._cosigned: dict[str, int] = {}

    def name(self, role: Role) -> str:
        return self._keepers[role].identity.name

    def commit(self, question: Question) -> dict[Role, Committed]:
        """Log the question at both; what each keeper's list of epochs says may differ.

        Raises `KeepersRefused` only after both were asked: each refuses, and logs it, by itself.
        """
        told, subjects = question.told("commit"), question.subjects
        answered, refusals = {}, []
        for role, keeper in self._keepers.items():
            try:
                logged, rest = keeper.logged("/v1/commit", question.to_object())
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
            role: Committed(self._carry(role, logged, told), epochs)
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
        """Have both log whom the answer names. Only after this may the answer leave."""
        named = Disclosure.parse(disclosure)
        told = {
            **question.told("disclosure"),
            "answer_sha256": named.answer_sha256.hex(),
            "opened_accounts": named.opened_accounts,
        }
        subjects = [text(account) for account in named.accounts]
        body = {"disclosure": disclosure.to_object()}
        return self._log("/v1/disclosure", body, told, subjects)

    def _log(
        self,
        path: str,
        body: Mapping[str, Any],
        told: Mapping[str, Any],
        subjects: Sequence[bytes],
    ) -> dict[Role, Proven]:
        answered = {}
        for role, keeper in self._keepers.items():
            try:
                answered[role], _ = keeper.logged(path, body)
            except KeeperRefused as refused:
                raise KeepersRefused([refused]) from refused
            self._checked(role, answered[role], told, subjects)
        return {role: self._carry(role, logged, told) for role, logged in answered.items()}

    def _checked(
        self, role: Role, logged: Logged, told: Mapping[str, Any], subjects: Sequence[bytes]
    ) -> list[Mapping[str, Any]]:
        try:
            return logged.check(self._log_keys(role), told, subjects)
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
            return read_shares(plain, committed.epochs, question.names)
        except (hpke.DoesNotOpen, EvidenceError) as error:
            raise keeper.untrue("shares") from error

    def _carry(self, role: Role, logged: Logged, told: Mapping[str, Any]) -> Proven:
        """Have the other keeper cosign the log that holds these leaves.

        Raises `KeeperUntrue`, also for a log that the witness finds forked.
        """
        keeper = self._keepers[role]
        try:
            evidence = self._cosigned_evidence(keeper, logged)
            check_evidence(evidence, self._log_keys(role), told, len(logged.leaves))
        except (LogError, EvidenceError) as error:
            raise keeper.untrue("checkpoint") from error
        return Proven(evidence, tuple(leaf.salt for leaf in logged.leaves))

    def _cosigned_evidence(self, keeper: Keeper, logged: Logged) -> Evidence:
        """One try for each time that other leaves overtake ours at the witness."""
        witness = self._keepers[_other(keeper.role)]
        keys = self._log_keys(keeper.role)
        note, proofs = parse_note(logged.checkpoint.encode()), list(logged.proofs)
        checkpoint = parse_checkpoint(note.body)
        origin = checkpoint.origin
        old = min(self._cosigned.get(origin, 0), checkpoint.size)
        for _ in range(_CARRIES):
            proof = self._consistency(keeper, origin, old, checkpoint.size)
            answer = witness.add_checkpoint(old, proof, note)
            if isinstance(answer, bytes):
                self._cosigned[origin] = checkpoint.size
                cosigned = add_cosignatures(note, answer, [keys.witness])
                return logged.evidence(cosigned.encode().decode(), proofs)
            old = answer
            if old > checkpoint.size:
                # Leaves after ours are cosigned already: show ours in that larger log.
                note = parse_note(keeper.checkpoint(origin).encode())
                checkpoint = parse_checkpoint(note.body)
                if checkpoint.origin != origin:
                    raise EvidenceError("another log")
                proofs = [
                    keeper.inclusion(origin, leaf.index, checkpoint.size) for leaf in logged.leaves
                ]
        raise EvidenceError("the witness never agreed")

    def _consistency(self, keeper: Keeper, origin: str, old: int, new: int) -> tuple[bytes, ...]:
        return keeper.consistency(origin, old, new) if 0 < old < new else ()

    def _log_keys(self, role: Role) -> LogKeys:
        own, other = self._keepers[role].identity, self._keepers[_other(role)].identity
        return LogKeys(own.name, own.log_key, other.name, other.witness_key)


def _other(role: Role) -> Role:
    return next(each for each in ROLES if each != role)


def _ack(value: Any, place: str) -> tuple[bytes, str | None]:
    fields = Fields(value, place)
    eid, ok = fields.hexadecimal("eid", 16), fields.boolean("ok")
    code = None if ok else fields.text("code", 64)
    fields.finish()
    return eid, code
