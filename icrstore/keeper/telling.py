"""The notifier's side of a keeper: what is due, opened and checked; and the word that it was told.

A keeper is believed only for what its log holds: each leaf must commit to the account and the
private text that come with it. What came with a cosignature says so; the rest is asked for again.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper.answers import KeeperFailure, KeepersRefused, Logged, read_proof
from icrstore.keeper.calls import MAX_ANSWER_BYTES, Keeper
from icrstore.keeper.carry import Carrier
from icrstore.keeper.evidence import Evidence
from icrstore.keeper.leaves import Leaf, LeafError, LeafText, read_lines
from icrstore.keeper.names import notice_info
from icrstore.seal.encode import digest, text
from icrstore.seal.epoch import Role
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Notice
from icrstore.warrant.statements import read_account
from icrstore.warrant.strict import Fields, StatementError, dump, parse_object
from icrstore.wire import hpke


@dataclass(frozen=True)
class Debt:
    """A leaf whose account must be told. ``said`` is its private text, ``notice`` what the keeper
    logged of the telling, ``evidence`` the leaf under a cosigned checkpoint."""

    number: int
    account: str
    leaf: Leaf
    said: dict[str, Any]
    owed_at: datetime
    notice: Leaf | None
    evidence: Evidence | None

    @property
    def is_disclosure(self) -> bool:
        return bool(self.said["type"] == "disclosure")


class Teller:
    """One keeper as a notifier calls it; ``witness`` is the keeper that cosigns its log."""

    def __init__(self, keeper: Keeper, witness: Keeper, key: hpke.PrivateKey) -> None:
        self._keeper, self._key = keeper, key
        self._carrier = Carrier(keeper, witness)

    @property
    def role(self) -> Role:
        return self._keeper.role

    def due(self, tenant: str, after: int) -> list[Debt]:
        """The debts after a number, told or not, in order; none where there are no more.

        Without the other keeper they come without ``evidence``. Raises what calls to a keeper do.
        """
        fields = self._keeper.ask(f"/v1/due?{urlencode({'tenant': tenant, 'after': after})}")
        read = self._keeper.read
        opened = read(lambda: fields.items("due", self._reader(tenant)))
        checkpoint = read(lambda: read_lines(fields, "checkpoint"))
        if [one.number for one, _ in opened] != list(range(after + 1, after + 1 + len(opened))):
            raise self._keeper.untrue("debts")
        return self._proven(opened, checkpoint)

    def told(self, tenant: str, notice: Envelope) -> Leaf:
        """Have the keeper log a notice (`sign_notice`); the same leaf, however often it is sent."""
        body = {"tenant": tenant, "notice": notice.to_object()}
        logged, _ = self._keeper.logged("/v1/notices", body)
        if len(logged.leaves) != 1:
            raise self._keeper.untrue("notice")
        return logged.leaves[0]

    def _reader(self, tenant: str) -> Any:
        def read(value: Any, place: str) -> tuple[Debt, tuple[bytes, ...]]:
            fields = Fields(value, place)
            index = fields.integer("leaf", 0, 1 << 32)
            number = fields.integer("number", 1, 1 << 53)
            proof = read_proof(fields.take("proof"), "proof")
            sealed = fields.base64("sealed", longest=MAX_ANSWER_BYTES)
            fields.take("notice")
            fields.finish()
            return self._open(tenant, number, index, sealed), proof

        return read

    def _open(self, tenant: str, number: int, index: int, sealed: bytes) -> Debt:
        """One debt, if the leaf commits to what is said. Raises `StatementError`."""
        identity = self._keeper.identity
        info = notice_info(tenant, identity.role, identity.instance, index)
        try:
            fields = Fields(parse_object(hpke.open_(self._key, info, sealed)))
        except hpke.DoesNotOpen:
            raise StatementError("does-not-open", "due") from None
        fields.version()
        account = read_account(fields.take("account"), "account")
        notices = fields.items("notices", Leaf.read, 0, 1)
        owed_at = fields.time("owed_at")
        leaf = Leaf.read({name: fields.take(name) for name in _LEAF}, "due")
        fields.finish()
        said = _said(leaf, account)
        if leaf.index != index:
            raise StatementError("another-leaf", "due")
        notice = notices[0] if notices else None
        if notice is not None:
            Fields(parse_object(notice.private.encode()), "notices").time("delivered_at")
        return Debt(number, account, leaf, said, owed_at, notice, None)

    def _proven(
        self, opened: Sequence[tuple[Debt, tuple[bytes, ...]]], checkpoint: str
    ) -> list[Debt]:
        debts = [debt for debt, _ in opened]
        if not debts:
            return []
        logged = Logged(tuple(d.leaf for d in debts), tuple(p for _, p in opened), checkpoint)
        try:
            evidence = self._carrier.carry(logged, None).evidence
        except (KeeperFailure, KeepersRefused):
            # Telling does not wait for the other keeper; the proof is made once it answers.
            return debts
        return [
            replace(debt, evidence=Evidence(evidence.checkpoint, (shown,)))
            for debt, shown in zip(debts, evidence.leaves, strict=True)
        ]


def sign_notice(
    tenant: str, leaf: int, leaf_text: str, channel: str, delivered_at: datetime,
    signer: Ed25519PrivateKey,
) -> Envelope:  # fmt: skip
    """A notifier's word that the subscriber of a leaf was told."""
    sha256 = hashlib.sha256(leaf_text.encode()).digest()
    said = Notice(tenant, leaf, sha256, channel, delivered_at)
    return Envelope.sign("notice", said.to_fields(), signer)


_LEAF = ("index", "leaf", "private", "salt")


def _said(leaf: Leaf, account: str) -> dict[str, Any]:
    """The private text of a release or disclosure leaf that is of this account."""
    try:
        lines = LeafText.parse(leaf.text)
    except LeafError:
        raise StatementError("not-a-leaf", "due") from None
    said = parse_object(leaf.private.encode())
    if (
        dump(said) != leaf.private.encode()
        or hashlib.sha256(leaf.private.encode()).digest() != lines.private_sha256
        or said.get("type") != lines.type
        or lines.type not in ("release", "disclosure")
        or said.get("subject") != digest("subject", leaf.salt, text(account)).hex()
    ):
        raise StatementError("another-leaf", "due")
    _check_shown(said)
    return said


def _check_shown(said: dict[str, Any]) -> None:
    """That it says what its subscriber is shown. A keeper writes what it likes into its own leaves:
    a row that cannot be read later would keep everybody from being told, by the other one too."""
    fields = Fields(said, "due")
    fields.hexadecimal("request_sha256", 32)
    fields.text("authority", 64)
    fields.text("purpose")
    fields.text("instrument")
    fields.items("hours", _hours, 1)
    if said["type"] == "disclosure":
        fields.integer("records", 0, 1 << 53)


def _hours(value: Any, place: str) -> tuple[datetime, datetime]:
    fields = Fields(value, place)
    return fields.hour("from"), fields.hour("to")
