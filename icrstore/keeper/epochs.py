"""Epochs: a sealer host registers what it sealed, and the keeper takes its atom into keeping."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from icrstore.keeper import queries, salvage
from icrstore.keeper.cases import MOST_GRANTS, read_body, read_grant
from icrstore.keeper.days import OpenDays
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.ledger import Draft, Ledger
from icrstore.keeper.policies import pools_of_tenant, sealers
from icrstore.keeper.queries import EpochRow
from icrstore.seal.epoch import EpochError, commitment, hour_start, is_expired, open_seal
from icrstore.seal.pools import Pools, in_force
from icrstore.warrant.authority import Granted
from icrstore.warrant.dsse import Envelope, key_id
from icrstore.warrant.machines import EpochStatement
from icrstore.warrant.strict import Fields, StatementError, time_text

OLDEST_HOUR = timedelta(hours=96)
MOST_EPOCHS = 4096


@dataclass(frozen=True)
class SealedEpoch:
    """A statement as it was signed, and the seal that is for this keeper."""

    envelope: Envelope
    statement: EpochStatement
    seal: bytes


@dataclass(frozen=True)
class Registration:
    tenant: str
    epochs: tuple[SealedEpoch, ...]
    grants: tuple[Envelope, ...]

    @classmethod
    def parse(cls, body: bytes) -> "Registration":
        """Raises `StatementError`, Refused(malformed, wrong-tenant); checks no signature."""
        fields = read_body(body)
        epochs = fields.items("epochs", _sealed_epoch, 1, MOST_EPOCHS)
        grants = fields.items("grants", read_grant, 1, MOST_GRANTS)
        fields.finish()
        tenants = {sealed.statement.epoch.tenant for sealed in epochs}
        if len(tenants) != 1:
            raise Refused("wrong-tenant", 400)
        return cls(tenants.pop(), epochs, grants)


def sealer_with(keeper: Keeper, body: bytes, keyid: str) -> bytes | None:
    """The sealer key of this id, if the tenant's root vouches for it in the body's own grants.

    Of the epochs it reads the first alone: whose they are, until who brings them is known.
    """
    fields = read_body(body)
    first, *_ = fields.items("epochs", lambda value, _: value, 1, MOST_EPOCHS)
    grants = fields.items("grants", read_grant, 1, MOST_GRANTS)
    with keeper.store.read() as tx:
        tenant = queries.tenant(tx, _sealed_epoch(first, "epochs[0]").statement.epoch.tenant)
        granted = sealers(tx, tenant, grants, keeper.clock())
    return next((key for key in granted.keys("sealer") if key_id(key) == keyid), None)


def register(keeper: Keeper, caller: bytes, body: bytes) -> dict[str, Any]:
    """An ack for each epoch, in one transaction. Raises Refused only for the whole of it.

    A repeat with the same statement is acknowledged again; ``caller`` is `sealer_with`'s answer.
    """
    asked = Registration.parse(body)
    with keeper.write() as call:
        tenant = queries.tenant(call.tx, asked.tenant)
        granted = sealers(call.tx, tenant, asked.grants, call.now)
        if caller not in granted.keys("sealer"):
            raise Refused("no-sealer")
        days = OpenDays(call.tx, tenant.name, keeper.chain())
        policies = pools_of_tenant(call.tx, tenant.name)
        office = _Office(call, granted, days, policies, call.ledger(tenant.name))
        answer = {"acks": list(_acks(office, asked.epochs))}
        lost = salvage.lost_days(call.tx, tenant.name, "epoch")
        # Whoever has them brings them again.
        return {**answer, "lost": [*lost]} if lost else answer


def kept(keeper: Keeper) -> Iterator[dict[str, Any]]:
    """Every epoch that it vouches for, of the days that live, by tenant and hour."""
    end = int((keeper.clock() + timedelta(days=1)).timestamp())
    with keeper.store.read() as tx:
        for tenant in queries.tenants(tx):
            for row in queries.epochs_of_hours(tx, tenant.name, 0, end):
                yield {
                    "role": keeper.identity.role,
                    "tenant": tenant.name,
                    "eid": row.eid.hex(),
                    "hour": time_text(datetime.fromtimestamp(row.hour, UTC)),
                    "statement_sha256": row.statement_sha256.hex(),
                }


@dataclass(frozen=True)
class _Office:
    """What the epochs of one call are checked by and logged in."""

    call: Call
    granted: Granted
    days: OpenDays
    policies: Sequence[tuple[datetime, Pools]]
    ledger: Ledger


def _acks(office: _Office, epochs: Iterable[SealedEpoch]) -> Iterable[dict[str, Any]]:
    for sealed in epochs:
        eid = sealed.statement.epoch.eid
        try:
            _keep(office, sealed)
        except (Refused, StatementError) as error:
            yield {"eid": eid.hex(), "ok": False, "code": error.code}
        else:
            yield {"eid": eid.hex(), "ok": True}


def _keep(office: _Office, sealed: SealedEpoch) -> None:
    """Check one epoch and take its atom into keeping.

    1. It is the one that is kept already, or none of its eid is.
    2. A sealer host of the tenant signed the statement.
    3. Its hour is neither to come nor more than 96 hours old, but for what a backfill covers and
       is not expired, or a leaf of ours that lost its text is of this very epoch; and its pools
       are those in force, as far as it is known (`policy-lost`: bring policies again first).
    4. The seal is the one in the statement, opens, and holds the atom committed to.
    5. From here it is kept: the atom under the day's key and its leaf are one transaction.
    """
    call, statement, sha256 = office.call, sealed.statement, sealed.envelope.sha256
    epoch = statement.epoch
    # 1.
    before = queries.epoch_statement_sha256(call.tx, epoch.eid)
    if before == sha256:
        return
    if before is not None:
        raise Refused("epoch-differs")
    # 2.
    office.granted.signer(sealed.envelope, "sealer")
    # 3.
    told = {"eid": epoch.eid.hex(), "statement_sha256": sha256.hex()}
    draft = Draft("epoch", told)
    try:
        _check_in_time(call, statement)
    except Refused:
        if not office.ledger.has_lost(draft):
            raise
    if statement.pools_sha256 != in_force(office.policies, epoch.hour).sha256:
        if salvage.lost_days(call.tx, epoch.tenant, "policy"):
            raise Refused("policy-lost")
        raise Refused("unknown-pools")
    # 4.
    atom = _open(call, sealed, office.days)
    # 5.
    locked = office.days.open(epoch.day).lock_atom(epoch.eid, call.keeper.identity.role, atom)
    hour = int(epoch.hour.timestamp())
    row = EpochRow(epoch.eid, hour, epoch.shard, sha256, locked)
    queries.add_epoch(call.tx, epoch.tenant, row)
    if not office.ledger.restore(draft):
        office.ledger.append(draft, call.now)


def _check_in_time(call: Call, statement: EpochStatement) -> None:
    hour = statement.epoch.hour
    if hour > call.now:
        raise Refused("future-hour")
    is_old = hour_start(call.now) - hour > OLDEST_HOUR
    unix_seconds = int(hour.timestamp())
    if is_old and not queries.is_backfilled(
        call.tx, statement.epoch.tenant, unix_seconds, call.unix_seconds
    ):
        raise Refused("hour-too-old")
    if is_expired(hour.date(), call.now.date()):
        raise Refused("expired-day")


def _open(call: Call, sealed: SealedEpoch, days: OpenDays) -> bytes:
    own, epoch = call.keeper.identity, sealed.statement.epoch
    named = sealed.statement.seal_sha256.get((own.role, own.instance))
    if named != hashlib.sha256(sealed.seal).digest():
        raise Refused("wrong-seal")
    key = days.open(epoch.day).private_key
    try:
        atom = open_seal(key, epoch, own.role, own.instance, sealed.seal)
    except EpochError as error:
        raise Refused("seal-does-not-open") from error
    if commitment(epoch, own.role, atom) != sealed.statement.commitments[own.role]:
        raise Refused("wrong-commitment")
    return atom


def _sealed_epoch(value: Any, place: str) -> SealedEpoch:
    fields = Fields(value, place)
    envelope = Envelope.read(fields.take("statement"), "epoch", place)
    made = SealedEpoch(envelope, EpochStatement.parse(envelope), fields.base64("seal"))
    fields.finish()
    return made
