"""Calls to one keeper: signed, bounded, and read strictly; what they say is not yet believed."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper.answers import (
    KeeperRefused,
    KeeperUnreachable,
    KeeperUntrue,
    Logged,
    read_proof,
)
from icrstore.keeper.names import authority_of, is_log_of, pseudonym_of
from icrstore.seal.epoch import Role
from icrstore.tlog.note import Note
from icrstore.tlog.tiles import TILE_WIDTH, Tile, TileError, parse_bundle
from icrstore.tlog.witness import format_request
from icrstore.warrant.dsse import Envelope, key_id, raw_public
from icrstore.warrant.machines import KeySchedule
from icrstore.warrant.strict import Fields, StatementError, dump, encode_base64, parse_object
from icrstore.warrant.trust import KeeperIdentity, Trust
from icrstore.wire.digest import content_digest_of
from icrstore.wire.errors import CallFailed
from icrstore.wire.httpunix import Peer, Response
from icrstore.wire.signatures import new_nonce, sign_request

T = TypeVar("T")

_JSON = "application/json"

TIMEOUT_SECONDS = 30.0
MAX_ANSWER_BYTES = 64 << 20
# Refusals that say nothing about the question.
_TRANSIENT = ("busy", "store-lost", "fault")


@dataclass(frozen=True)
class Registered:
    """The code of each eid's refusal, None where the keeper logged it; and, where epochs have to be
    brought again that it logged once, the first and the last day on which it did."""

    codes: dict[bytes, str | None]
    lost: tuple[date, date] | None

    @classmethod
    def take(cls, fields: Fields, most: int) -> "Registered":
        """Raises `StatementError`."""
        codes = dict(fields.items("acks", _ack, 0, most))
        lost = fields.items("lost", _day, 2, 2) if fields.has("lost") else None
        return cls(codes, (lost[0], lost[1]) if lost else None)


class Keeper:
    """One keeper, called by one signing key. Safe to use from many threads."""

    def __init__(
        self,
        identity: KeeperIdentity,
        address: str,
        caller: Ed25519PrivateKey | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``address`` is ``unix:/path`` or loopback; ``caller`` is an engine's, sealer's or
        notifier's key, or None for who only reads what is everyone's."""
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
    ) -> Registered:
        """Hand in epoch statements, each with this keeper's seal."""
        listed = [
            {"statement": statement.to_object(), "seal": encode_base64(seal)}
            for statement, seal in epochs
        ]
        shown = [grant.to_object() for grant in grants]
        fields = self.post("/v1/epochs", {"epochs": listed, "grants": shown})
        return self.read(lambda: Registered.take(fields, len(epochs)))

    def log_policy(self, policy: Envelope, grants: Sequence[Envelope]) -> None:
        """Have a policy logged; the same again is harmless. Raises as `post` does."""
        shown = [grant.to_object() for grant in grants]
        fields = self.post("/v1/policies", {"policy": policy.to_object(), "grants": shown})
        if self.read(lambda: fields.hexadecimal("sha256", 32)) != policy.sha256:
            raise self.untrue("policy")

    def revoke(self, revocation: Envelope) -> None:
        """Have a revocation logged; the same again is harmless. It needs no key of ours."""
        body, headers = dump({"revocation": revocation.to_object()}), {"Content-Type": _JSON}
        answered = self._answer(self._call("POST", "/v1/revocations", headers, body))
        if self.read(lambda: Fields(answered).hexadecimal("sha256", 32)) != revocation.sha256:
            raise self.untrue("revocation")

    def logged(self, path: str, body: Mapping[str, Any]) -> tuple[Logged, Fields]:
        """The leaves that a call answers, unchecked, and the fields beside them."""
        fields = self.post(path, body)
        return self.read(lambda: Logged.take(fields)), fields

    def post(self, path: str, body: Mapping[str, Any]) -> Fields:
        """A signed call. Raises `KeeperRefused`, `KeeperUnreachable`, `KeeperUntrue`."""
        content = dump(body)
        headers = {
            "Content-Type": _JSON,
            "Content-Digest": content_digest_of(content),
        }
        signed = self._signed("POST", path, headers)
        return Fields(self._answer(self._call("POST", path, signed, content)))

    def ask(self, target: str) -> Fields:
        """A signed GET. Raises `KeeperRefused`, `KeeperUnreachable`, `KeeperUntrue`."""
        return Fields(self._answer(self._call("GET", target, self._signed("GET", target, {}))))

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

    def certificates(self, tenant: str, after: str) -> Logged:
        """The shredding certificates of the days after this one, unchecked; the log's checkpoint
        comes even where there is none."""
        query = urlencode({"tenant": tenant, "after": after})
        fields = Fields(self._get(f"/v1/shreds?{query}"))
        return self.read(lambda: Logged.take(fields))

    def show_cosigned(self, checkpoint: str) -> None:
        """Bring it a checkpoint of its own log that the other keeper cosigned just now."""
        body = checkpoint.encode()
        self._answer(self._call("POST", "/v1/cosigned", {"Content-Type": "text/plain"}, body))

    def show_own(self, checkpoint: str) -> None:
        """Show it a checkpoint that its own key signed: if it does not know it, it stops itself."""
        body = checkpoint.encode()
        self._answer(self._call("POST", "/own-checkpoint", {"Content-Type": "text/plain"}, body))

    def cosigned_last(self, origin: str) -> str:
        """The checkpoint of another keeper's log that it cosigned last, unchecked."""
        return self._text(f"/witness/{pseudonym_of(origin)}/checkpoint")

    def origin(self, tenant: str) -> str:
        """Which log is a tenant's, for its engine or notifier."""
        fields = self.ask(f"/v1/log?{urlencode({'tenant': tenant})}")
        origin = self.read(lambda: fields.text("origin"))
        if not is_log_of(self.identity.name, origin):
            raise self.untrue("origin")
        return origin

    def entries(self, origin: str, first: int, end: int) -> list[bytes]:
        """The leaves from ``first`` to before ``end``, as bundles bring them, unchecked."""
        made: list[bytes] = []
        for index in range(first // TILE_WIDTH, -(-end // TILE_WIDTH)):
            tile = Tile(None, index, min(TILE_WIDTH, end - index * TILE_WIDTH))
            response = self._call("GET", f"/log/{pseudonym_of(origin)}/{tile.path}", {})
            if response.status != 200:
                self._answer(response)
            try:
                made += parse_bundle(response.body, tile.width)
            except TileError as error:
                raise self.untrue("malformed") from error
        return made[first % TILE_WIDTH :]

    def checkpoint(self, origin: str) -> str:
        """The latest checkpoint of a log, unchecked."""
        return self._text(f"/log/{pseudonym_of(origin)}/checkpoint")

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

    def _signed(self, method: str, target: str, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers with a signature by our caller's key over all of the request."""
        if self._caller is None:
            raise ValueError("this call needs a key to sign with")
        signature = sign_request(
            method,
            self._authority,
            target,
            headers,
            key=self._caller,
            keyid=key_id(raw_public(self._caller)),
            created_unix_seconds=int(self._clock()),
            nonce=new_nonce(),
        )
        return {**headers, **signature}

    def _text(self, target: str) -> str:
        response = self._call("GET", target, {})
        if response.status != 200:
            self._answer(response)
        return response.body.decode("utf-8", "replace")

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


def keepers_of(
    trust: Trust, addresses: Mapping[str, str], caller: Ed25519PrivateKey | None
) -> tuple[Keeper, ...]:
    """The keepers that the trust file names, where this process reaches them, by role."""
    return tuple(Keeper(one, addresses[one.role], caller) for one in trust.keepers)


def with_witnesses(keepers: Sequence[Keeper]) -> list[tuple[Keeper, Keeper]]:
    """Each keeper with one of the other role, which cosigns its logs."""
    return [(one, next(each for each in keepers if each.role != one.role)) for one in keepers]


def _day(value: Any, place: str) -> date:
    return date.fromisoformat(Fields({"day": value}, place).day("day"))


def _ack(value: Any, place: str) -> tuple[bytes, str | None]:
    fields = Fields(value, place)
    eid, ok = fields.hexadecimal("eid", 16), fields.boolean("ok")
    code = None if ok else fields.text("code", 64)
    fields.finish()
    return eid, code
