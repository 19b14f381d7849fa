"""Telling the keepers of sealed epochs; once all have logged them, the batch's receipt is given.

Until then nothing is lent for the epoch, and the batch's body is kept.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import transaction
from django.db.models import Exists, OuterRef

from icrstore.inbox.models import Batch
from icrstore.keeper.answers import KeeperRefused, KeeperUnreachable, KeeperUntrue
from icrstore.keeper.client import Keeper
from icrstore.vault.keyring import SealerKeys
from icrstore.vault.models import EpochSeal
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import Receipt

logger = logging.getLogger(__name__)

AT_ONCE = 200


def register_epochs(keys: SealerKeys, keepers: Sequence[Keeper], now: datetime) -> int:
    """Hand each keeper the epochs that it has not logged; how many were logged. Safe to repeat."""
    return sum(_register_at(keeper, keys, now) for keeper in keepers)


def give_receipts(signing_key: Ed25519PrivateKey, now: datetime) -> int:
    """Sign the sealed receipt of every batch whose epochs all keepers logged, drop its body."""
    unlogged = EpochSeal.objects.filter(epoch__batches=OuterRef("pk"), acknowledged_at=None)
    waiting = Batch.objects.filter(~Exists(unlogged), state=Batch.SEALED, sealed_receipt=None)
    count = 0
    for batch in waiting.defer("body").select_related("collector"):
        receipt = Envelope.sign("receipt", _receipt(batch, now).to_fields(), signing_key)
        # From here the collector may forget the batch: its rows are committed and logged.
        Batch.objects.filter(id=batch.id).update(sealed_receipt=receipt.encode(), body=None)
        count += 1
    return count


def _register_at(keeper: Keeper, keys: SealerKeys, now: datetime) -> int:
    """In groups, each acknowledged in one transaction; a keeper that is down is asked later."""
    count = 0
    while seals := _waiting(keeper):
        epochs = [
            (Envelope.parse(bytes(seal.epoch.statement), "epoch"), bytes(seal.seal))
            for seal in seals
        ]
        try:
            answers = keeper.register(epochs, keys.grants)
        except (KeeperUnreachable, KeeperUntrue, KeeperRefused) as failure:
            logger.warning("keeper %s logged no epoch: %s", keeper.role, failure.code)
            break
        count += _acknowledge(seals, answers, now)
    return count


def _waiting(keeper: Keeper) -> list[EpochSeal]:
    rows = EpochSeal.objects.filter(
        role=keeper.role,
        instance=keeper.identity.instance,
        acknowledged_at=None,
        refused="",
    )
    return list(rows.select_related("epoch").order_by("epoch")[:AT_ONCE])


def _acknowledge(
    seals: Sequence[EpochSeal], answers: dict[bytes, str | None], now: datetime
) -> int:
    """What the keeper said of each; a refusal is final and shows as an epoch it never lends."""
    with transaction.atomic():
        for seal in seals:
            refused = answers.get(bytes(seal.epoch.eid), "not-answered")
            if refused is None:
                EpochSeal.objects.filter(id=seal.id).update(acknowledged_at=now)
            else:
                logger.error("keeper %s refused epoch %s: %s", seal.role, seal.epoch_id, refused)
                EpochSeal.objects.filter(id=seal.id).update(refused=refused)
    return sum(1 for refused in answers.values() if refused is None)


def _receipt(batch: Batch, now: datetime) -> Receipt:
    eids = batch.epochs.order_by("hour", "id").values_list("eid", flat=True)
    return Receipt(
        state="sealed",
        tenant=batch.tenant_id,
        collector=batch.collector.name,
        batch_id=bytes(batch.batch_id),
        at=now,
        body_sha256=bytes(batch.body_sha256),
        records=batch.records,
        rejected=batch.rejected,
        epochs=tuple(bytes(eid) for eid in eids),
    )
