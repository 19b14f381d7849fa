"""Telling the keepers of sealed epochs; once all have logged them, the batch's receipt is given.

Until then nothing is lent for the epoch, and the batch's body is kept. The database is believed in
nothing that a receipt says: a collector forgets a batch for it.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from django.db.models import Exists, OuterRef, QuerySet

from accounts.policies import policies_of
from accounts.revocations import revocations_of
from accounts.tenancy import of_tenant, tenants
from icrstore.inbox.models import Batch
from icrstore.keeper.answers import KeeperRefused, KeeperUnreachable, KeeperUntrue
from icrstore.keeper.calls import Registered
from icrstore.keeper.client import Keeper
from icrstore.vault.keyring import SealerKeys
from icrstore.vault.models import EpochSeal
from icrstore.vault.policies import bring_again
from icrstore.warrant.authority import SKEW
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.machines import EpochStatement, Receipt
from icrstore.warrant.strict import MAX_STATEMENT_BYTES, StatementError

logger = logging.getLogger(__name__)

AT_ONCE = 200
# A keeper takes 16 MiB in one call, as text: a third more than these bytes.
CALL_BYTES = 4 << 20
# Refusals that mend themselves: by that keeper's clock the hour has not begun; or its store was put
# right, and policies come again.
_TOO_EARLY, _POLICY_LOST = "future-hour", "policy-lost"
_MENDED = {_TOO_EARLY, _POLICY_LOST}


def register_epochs(keys: SealerKeys, keepers: Sequence[Keeper], now: datetime) -> int:
    """Hand each keeper the epochs that it has not logged; how many were logged. Safe to repeat."""
    return sum(
        _register_at(keeper, keys, tenant.name, now) for keeper in keepers for tenant in tenants()
    )


def give_receipts(keys: SealerKeys, keepers: Sequence[Keeper], now: datetime) -> int:
    """Sign the sealed receipt of every batch whose epochs all keepers logged, drop its body."""
    return sum(_give_receipts(tenant.name, keys, keepers, now) for tenant in tenants())


def _give_receipts(tenant: str, keys: SealerKeys, keepers: Sequence[Keeper], now: datetime) -> int:
    """How many of a tenant's batches got theirs.

    1. The database only says where to look.
    2. What the receipt says is what this host signed when it sealed the batch.
    3. That its epochs are logged is what each keeper says now.
    """
    # 1.
    unlogged = EpochSeal.objects.filter(epoch__batches=OuterRef("pk"), acknowledged_at=None)
    waiting = Batch.objects.filter(
        ~Exists(unlogged), tenant=tenant, state=Batch.SEALED, sealed_receipt=None
    )
    with of_tenant(tenant):
        batches = list(waiting.defer("body"))
    # 2.
    signed = {batch: _sealing(batch, keys) for batch in batches}
    sealed = {batch: receipt for batch, receipt in signed.items() if receipt is not None}
    # 3.
    logged = [_logged_at(keeper, keys, tenant, sealed.values()) for keeper in keepers]
    count = 0
    for batch, receipt in sealed.items():
        if not all(set(receipt.epochs) <= eids for eids in logged):
            logger.error("batch %s: marked as logged, but a keeper lacks an epoch", batch.id)
            continue
        made = Envelope.sign("receipt", replace(receipt, at=now).to_fields(), keys.signing)
        # From here the collector may forget the batch: its rows are committed and logged. Where
        # another sealer was faster, its receipt stands: a collector may have it already.
        given = Batch.objects.filter(id=batch.id, sealed_receipt=None)
        with of_tenant(tenant):
            count += given.update(sealed_receipt=made.encode(), body=None)
    return count


def _register_at(keeper: Keeper, keys: SealerKeys, tenant: str, now: datetime) -> int:
    """In groups, each acknowledged in one transaction; a keeper that is down is asked later.

    A keeper whose store was put right says when it logged what it lost: that is brought again, once
    in a look, since some of it may be gone for good; and so is who was revoked.
    """
    count, has_asked = 0, False
    while seals := _waiting(keeper, tenant, now):
        answer = _hand_in(keeper, keys, tenant, seals)
        if answer.lost and not has_asked:
            # First: whoever is killed in between is told again that epochs are lost.
            bring_again(revocations_of(tenant), keeper)
            _forget_acknowledged(keeper, tenant, *answer.lost)
        has_asked = True
        # Of what the keeper said nothing, it says something later.
        said = {seal: answer.codes.get(bytes(seal.epoch.eid), _TOO_EARLY) for seal in seals}
        count += _acknowledge(tenant, said, now)
        if _POLICY_LOST in said.values():
            bring_again(policies_of(tenant), keeper)
        if not _MENDED.isdisjoint(said.values()):
            break
    return count


def _waiting(keeper: Keeper, tenant: str, now: datetime) -> list[EpochSeal]:
    """A record may be minutes ahead of us, and its epoch too: it waits for its hour."""
    rows = _seals_for(keeper, tenant)
    rows = rows.filter(acknowledged_at=None, refused="", epoch__hour__lte=now)
    with of_tenant(tenant):
        return list(rows.order_by("epoch")[:AT_ONCE])


def _seals_for(keeper: Keeper, tenant: str) -> QuerySet[EpochSeal]:
    seals = EpochSeal.objects.filter(
        role=keeper.role, instance=keeper.identity.instance, epoch__tenant=tenant
    )
    return seals.select_related("epoch")


def _hand_in(
    keeper: Keeper, keys: SealerKeys, tenant: str, seals: Sequence[EpochSeal]
) -> Registered:
    """What the keeper says of each epoch of one tenant; of one that no keeper could read, why. Of
    those that it was not asked for, or did not take, nothing."""
    epochs, codes = _readable(tenant, seals)
    lost = None
    try:
        for some in _calls(epochs):
            said = keeper.register(some, keys.grants_of(tenant))
            codes, lost = {**said.codes, **codes}, said.lost or lost
    except (KeeperUnreachable, KeeperUntrue, KeeperRefused) as failure:
        logger.warning("keeper %s logged no epoch: %s", keeper.role, failure.code)
    return Registered(codes, lost)


def _readable(
    tenant: str, seals: Sequence[EpochSeal]
) -> tuple[list[tuple[Envelope, bytes]], dict[bytes, str | None]]:
    """What a keeper is handed, and by eid what is wrong with the others: for one that it could not
    read it would refuse all that come with it."""
    epochs: list[tuple[Envelope, bytes]] = []
    codes: dict[bytes, str | None] = {}
    for seal in seals:
        try:
            epochs.append(_read(tenant, seal))
        except StatementError as error:
            codes[bytes(seal.epoch.eid)] = error.code
    return epochs, codes


def _read(tenant: str, seal: EpochSeal) -> tuple[Envelope, bytes]:
    """Raises `StatementError` for what is none, or another epoch's: somebody wrote the database."""
    envelope = Envelope.parse(bytes(seal.epoch.statement), "epoch")
    epoch = EpochStatement.parse(envelope).epoch
    if (epoch.tenant, epoch.eid) != (tenant, bytes(seal.epoch.eid)):
        raise StatementError("another-epoch", "statement")
    if len(seal.seal) > MAX_STATEMENT_BYTES:
        raise StatementError("too-long", "seal")
    return envelope, bytes(seal.seal)


def _calls(epochs: Sequence[tuple[Envelope, bytes]]) -> Iterator[list[tuple[Envelope, bytes]]]:
    """In their order, so many in each as CALL_BYTES hold; one that is more goes alone."""
    some: list[tuple[Envelope, bytes]] = []
    length = 0
    for statement, seal in epochs:
        length += len(statement.payload) + len(seal)
        if some and length > CALL_BYTES:
            yield some
            some, length = [], len(statement.payload) + len(seal)
        some.append((statement, seal))
    if some:
        yield some


def _forget_acknowledged(keeper: Keeper, tenant: str, first: date, last: date) -> None:
    """What was acknowledged from one day to another, both included, is to be logged again: what the
    keeper has still it acknowledges again, and then on a later day."""
    # The keeper's clock, by which its days are, and ours may differ a little.
    begin, end = _start_of(first) - SKEW, _start_of(last + timedelta(days=1)) + SKEW
    with of_tenant(tenant):
        logged = _seals_for(keeper, tenant).filter(acknowledged_at__range=(begin, end))
        count = EpochSeal.objects.filter(id__in=logged.values("id")).update(acknowledged_at=None)
    logger.warning("keeper %s lost epochs: %d are brought again", keeper.role, count)


def _start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _acknowledge(tenant: str, said: Mapping[EpochSeal, str | None], now: datetime) -> int:
    """What was said of each, by its code; a refusal is final and shows as an epoch that the keeper
    never lends. How many it logged."""
    logged = [seal.id for seal, refused in said.items() if refused is None]
    with of_tenant(tenant):
        EpochSeal.objects.filter(id__in=logged).update(acknowledged_at=now)
        for seal, refused in said.items():
            if refused is not None and refused not in _MENDED:
                logger.error(
                    "epoch %s is none for keeper %s: %s", seal.epoch_id, seal.role, refused
                )
                EpochSeal.objects.filter(id=seal.id).update(refused=refused)
    return len(logged)


def _sealing(batch: Batch, keys: SealerKeys) -> Receipt | None:
    """What this host signed of the batch as it sealed it; None for what it did not sign."""
    try:
        envelope = Envelope.parse(bytes(batch.sealing or b""), "sealing")
        envelope.verify(raw_public(keys.signing))
        receipt = Receipt.parse(envelope)
    except StatementError as error:
        logger.warning("batch %s: not sealed by this host: %s", batch.id, error.code)
        return None
    return receipt if receipt.batch_id == bytes(batch.batch_id) else None


def _logged_at(
    keeper: Keeper, keys: SealerKeys, tenant: str, receipts: Collection[Receipt]
) -> set[bytes]:
    """Which of the receipts' epochs the keeper has logged, by its own word."""
    logged: set[bytes] = set()
    # A receipt that a sealer signed for another tenant's batch speaks of no epoch of this one.
    eids = sorted({eid for receipt in receipts for eid in receipt.epochs})
    for start in range(0, len(eids), AT_ONCE):
        with of_tenant(tenant):
            wanted = eids[start : start + AT_ONCE]
            seals = list(_seals_for(keeper, tenant).filter(epoch__eid__in=wanted))
        codes = _hand_in(keeper, keys, tenant, seals).codes
        logged |= {eid for eid, refused in codes.items() if refused is None}
    return logged
