"""Reading sealed rows: bodies with their proofs, of epochs that both keepers vouched for.

Only `icrstore.query` may import this. What it returns is ciphertext; opening is the engine's.
Everything is read inside the caller's transaction, which is of the tenant (`accounts.tenancy`).
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from icrstore.keeper.answers import ListedEpoch
from icrstore.seal.epoch import Epoch
from icrstore.seal.manifest import BucketProof
from icrstore.vault.binary import binary_cursor
from icrstore.vault.manifests import COLUMNS, proof_of
from icrstore.vault.months import month_of

MISSING = "it is not in the store"
NO_STATEMENT = "its statement is none"
ANOTHER_STATEMENT = "its statement is not the one that the keepers logged"

_EPOCHS = "SELECT eid, id, statement FROM vault_epoch WHERE tenant_id = %s AND eid = ANY(%b)"

# The body under each label, and the bucket that answers for the label: a probe of the month's two
# primary keys for each, which LIMIT keeps the planner from doing in any other way.
_ROWS = f"""
SELECT s.body, {COLUMNS}
FROM unnest(%b::bigint[], %b::bytea[]) WITH ORDINALITY AS w(epoch_no, label, n)
LEFT JOIN LATERAL (
    SELECT body FROM vault_segment
    WHERE month = %b AND epoch_no = w.epoch_no AND label = w.label LIMIT 1) AS s ON true
LEFT JOIN LATERAL (
    SELECT {COLUMNS} FROM vault_bucket
    WHERE month = %b AND epoch_no = w.epoch_no AND begins <= w.label
    ORDER BY begins DESC LIMIT 1) AS b ON true
ORDER BY w.n
"""  # noqa: S608 - constants of ours


class EpochMissing(Exception):
    """The epoch is not held, or is not the one that the keepers logged; the message says which."""


@dataclass(frozen=True)
class HeldEpoch:
    """An epoch whose statement is the one that the keepers logged, and what it says."""

    number: int
    eid: bytes
    hour: datetime
    rows: int
    manifest_root: bytes
    pools_sha256: bytes

    @property
    def month(self) -> int:
        """Where its rows are, by the hour that the keepers logged."""
        return month_of(self.hour)


@dataclass(frozen=True)
class Wanted:
    """A label that is looked for in an epoch."""

    epoch: HeldEpoch
    label: bytes


Found = tuple[bytes | None, BucketProof | None]  # the body, and the bucket that answers for it


def held_epochs(
    tenant: str, logged: Sequence[ListedEpoch]
) -> tuple[list[HeldEpoch], dict[bytes, str]]:
    """The epochs that are as the keepers logged them, and what is wrong with the others, by eid."""
    with binary_cursor() as cursor:
        cursor.execute(_EPOCHS, [tenant, [epoch.eid for epoch in logged]])
        rows = {eid: (number, statement) for eid, number, statement in cursor}
    held, wrong = [], {}
    for epoch in logged:
        try:
            held.append(_checked(tenant, epoch, *rows.get(epoch.eid, (0, None))))
        except EpochMissing as error:
            wrong[epoch.eid] = str(error)
    return held, wrong


def rows(month: int, wanted: Sequence[Wanted]) -> Iterator[Found]:
    """What is there of each, in their order; all of them of epochs of one month."""
    numbers, labels = [one.epoch.number for one in wanted], [one.label for one in wanted]
    with binary_cursor() as cursor:
        cursor.execute(_ROWS, [numbers, labels, month, month])
        for one, (body, *bucket) in zip(wanted, cursor, strict=True):
            proof = None if bucket[1] is None else proof_of(one.epoch.rows, *bucket)
            yield body, proof


def _checked(tenant: str, logged: ListedEpoch, number: int, encoded: bytes | None) -> HeldEpoch:
    """That what is stored is what was logged.

    1. The statement's bytes are the ones that the keepers logged.
    2. It speaks of this epoch.

    Before a keeper logs a statement it parses it strictly: of the very same bytes the few fields
    that are needed here are taken as they are.
    """
    if encoded is None:
        raise EpochMissing(MISSING)
    try:
        payload = base64.b64decode(json.loads(encoded)["payload"], validate=True)
        if hashlib.sha256(payload).digest() != logged.statement_sha256:
            raise EpochMissing(ANOTHER_STATEMENT)
        return _held(tenant, logged, number, json.loads(payload))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EpochMissing(NO_STATEMENT) from error


def _held(tenant: str, logged: ListedEpoch, number: int, fields: Mapping[str, Any]) -> HeldEpoch:
    said = Epoch(fields["tenant"], logged.hour, fields["shard"], bytes.fromhex(fields["nonce"]))
    if said.tenant != tenant or said.eid != logged.eid:
        raise EpochMissing("its statement is another epoch's")
    return HeldEpoch(
        number=number,
        eid=logged.eid,
        hour=logged.hour,
        rows=fields["rows"],
        manifest_root=bytes.fromhex(fields["manifest_root"]),
        pools_sha256=bytes.fromhex(fields["pools_sha256"]),
    )


__all__: Sequence[str] = ["EpochMissing", "Found", "HeldEpoch", "Wanted", "held_epochs", "rows"]
