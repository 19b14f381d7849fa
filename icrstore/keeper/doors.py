"""The keeper's doors: every path, who may knock, and which function answers."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from icrstore.keeper import logs, policies, queries
from icrstore.keeper.commit import commit
from icrstore.keeper.debts import due, take_notice
from icrstore.keeper.disclosure import disclose
from icrstore.keeper.epochs import register, sealer_with
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.lend import lend
from icrstore.keeper.names import authority_of
from icrstore.keeper.quarantine import take_own
from icrstore.keeper.recovery import take_cosigned
from icrstore.keeper.release import release
from icrstore.keeper.revocations import take_revocation
from icrstore.keeper.schedule import key_schedule
from icrstore.keeper.shred import certificates
from icrstore.keeper.witness import Witness
from icrstore.warrant.dsse import raw_public
from icrstore.warrant.strict import dump
from icrstore.wire.errors import SignatureRefused
from icrstore.wire.signatures import Headers, verify_request

JSON, TEXT, BYTES = "application/json", "text/plain; charset=utf-8", "application/octet-stream"

_SIGNED = {
    "/v1/commit": commit,
    "/v1/release": release,
    "/v1/lend": lend,
    "/v1/disclosure": disclose,
}
_WITNESSED = re.compile(r"/witness/([0-9a-f]{16})/checkpoint")
_LOG = re.compile(r"/log/([0-9a-f]{16})/(checkpoint|consistency|inclusion|tile/[a-z0-9./]{1,80})")


@dataclass(frozen=True)
class Knock:
    """A request as it came: ``target`` with its query, undecoded."""

    method: str
    target: str
    headers: Headers
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def ask(self, *names: str) -> list[str]:
        """The query's values, of exactly these names. Raises Refused(malformed)."""
        pairs = parse_qsl(self.target.partition("?")[2], keep_blank_values=True)
        if sorted(name for name, _ in pairs) != sorted(names):
            raise Refused("malformed", 400)
        return [dict(pairs)[name] for name in names]

    def ask_numbers(self, *names: str) -> list[int]:
        return [_number(value) for value in self.ask(*names)]


@dataclass(frozen=True)
class Answer:
    content_type: str
    body: bytes
    status: int = 200


class Doors:
    """Calls by engines, sealers and notifiers are signed (RFC 9421); logs, public keys and
    shredding certificates are for everyone, and everyone may bring a checkpoint, or the revocation
    that a root signed.

    A replay does no harm and so no nonce is kept: a commit, release, disclosure, epoch, policy or
    notice that was taken gives the answer that it gave, a refusal is in the log once, what is lent
    or due opens for one pinned key alone, and what lends ends (15 minutes, 24 hours, 96 hours).
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._witness = Witness(keeper)
        self._authority = authority_of(raw_public(keeper.identity.identity))

    def answer(self, knock: Knock) -> Answer:
        """Raises Refused, StatementError, SignatureRefused, LogError and StoreLost."""
        try:
            return self._post(knock) if knock.method == "POST" else self._get(knock)
        except SignatureRefused as refused:
            self._keeper.strangers.count(refused.reason)
            raise

    def _post(self, knock: Knock) -> Answer:
        if knock.path == "/add-checkpoint":
            return Answer(TEXT, self._witness.add_checkpoint(knock.body))
        if knock.path == "/own-checkpoint":
            return Answer(JSON, dump(take_own(self._keeper, knock.body)))
        if knock.path == "/v1/cosigned":
            return Answer(JSON, dump(take_cosigned(self._keeper, knock.body)))
        if knock.path == "/v1/revocations":
            return Answer(JSON, dump(take_revocation(self._keeper, knock.body)))
        if knock.path == "/v1/epochs":
            caller = self._signer(knock, lambda id_: sealer_with(self._keeper, knock.body, id_))
            return Answer(JSON, dump(register(self._keeper, caller, knock.body)))
        if knock.path == "/v1/policies":
            caller = self._signer(
                knock, lambda id_: policies.sealer_with(self._keeper, knock.body, id_)
            )
            return Answer(JSON, dump(policies.take_policy(self._keeper, caller, knock.body)))
        if knock.path == "/v1/notices":
            caller = self._signer(knock, self._notifier_with)
            return Answer(JSON, dump(take_notice(self._keeper, caller, knock.body)))
        if knock.path not in _SIGNED:
            raise Refused("no-such-door", 404)
        caller = self._signer(knock, self._engine_with)
        return Answer(JSON, dump(_SIGNED[knock.path](self._keeper, caller, knock.body)))

    def _get(self, knock: Knock) -> Answer:
        if knock.path == "/healthz":
            return Answer(TEXT, b"ok\n")
        if knock.path == "/identity":
            return Answer(JSON, dump(self._keeper.identity.public()))
        if knock.path == "/v1/key-schedule":
            asked = knock.ask("tenant", "from", "to")
            return Answer(JSON, dump(key_schedule(self._keeper, *asked)))
        if knock.path == "/v1/shreds":
            asked = knock.ask("tenant", "after")
            return Answer(JSON, dump(certificates(self._keeper, *asked)))
        if knock.path == "/v1/log":
            caller = self._signer(knock, self._engine_or_notifier_with)
            return Answer(JSON, dump(logs.where(self._keeper, caller, *knock.ask("tenant"))))
        if knock.path == "/v1/due":
            caller = self._signer(knock, self._notifier_with)
            tenant, after = knock.ask("tenant", "after")
            return Answer(JSON, dump(due(self._keeper, caller, tenant, _number(after))))
        witnessed = _WITNESSED.fullmatch(knock.path)
        if witnessed is not None:
            return Answer(TEXT, self._witness.last(witnessed[1]))
        found = _LOG.fullmatch(knock.path)
        if found is None:
            raise Refused("no-such-door", 404)
        return self._log(knock, found[1], found[2])

    def _log(self, knock: Knock, pseudonym: str, what: str) -> Answer:
        if what == "checkpoint":
            return Answer(TEXT, logs.checkpoint(self._keeper, pseudonym))
        if what == "consistency":
            sizes = knock.ask_numbers("from", "to")
            return Answer(JSON, dump(logs.consistency(self._keeper, pseudonym, *sizes)))
        if what == "inclusion":
            place = knock.ask_numbers("index", "size")
            return Answer(JSON, dump(logs.inclusion(self._keeper, pseudonym, *place)))
        return Answer(BYTES, logs.tile(self._keeper, pseudonym, what))

    def _signer(self, knock: Knock, key_with: Callable[[str], bytes | None]) -> bytes:
        """The public key that signed all of this request. Raises SignatureRefused."""
        found: dict[str, bytes] = {}

        def resolve(keyid: str) -> Ed25519PublicKey | None:
            key = key_with(keyid)
            if key is None:
                return None
            found[keyid] = key
            return Ed25519PublicKey.from_public_bytes(key)

        verified = verify_request(
            knock.method,
            self._authority,
            knock.target,
            knock.headers,
            resolve_key=resolve,
            now_unix_seconds=int(self._keeper.clock().timestamp()),
            required=("content-digest",) if knock.method == "POST" else (),
        )
        verified.check_body(hashlib.sha256(knock.body).digest())
        return found[verified.keyid]

    def _notifier_with(self, keyid: str) -> bytes | None:
        with self._keeper.store.read() as tx:
            return queries.notifier_with(tx, keyid)

    def _engine_with(self, keyid: str) -> bytes | None:
        with self._keeper.store.read() as tx:
            return queries.engine_with(tx, keyid)

    def _engine_or_notifier_with(self, keyid: str) -> bytes | None:
        return self._engine_with(keyid) or self._notifier_with(keyid)


def _number(value: str) -> int:
    """Raises Refused(malformed)."""
    if not re.fullmatch(r"\d{1,18}", value, re.ASCII):
        raise Refused("malformed", 400)
    return int(value)
