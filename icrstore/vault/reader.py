"""Reading sealed rows: bodies with their proofs, of epochs that both keepers vouched for.

Only `icrstore.query` may import this. What it returns is ciphertext; opening is the engine's.
"""

import hashlib
import json
from binascii import a2b_base64
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import transaction

from accounts.exchange import PLANNED_ONCE, exchange
from accounts.policies import read_pools
from accounts.tenancy import see
from icrstore.keeper.answers import ListedEpoch
from icrstore.seal.epoch import Epoch
from icrstore.seal.manifest import BucketProof
from icrstore.seal.pools import DEFAULT, Pools
from icrstore.vault.binary import stream
from icrstore.vault.manifests import COLUMNS, proof_of
from icrstore.vault.months import month_of

MISSING = "it is not in the store"
NO_STATEMENT = "its statement is none"
ANOTHER_STATEMENT = "its statement is not the one that the keepers logged"

# So few come all at once, by a statement that is planned once a connection.
FEW = 64
# Of more so many come together: what they bring stays in a core's caches until it is looked at.
_AT_ONCE = 16

# Where the payload of an envelope begins.
_PAYLOAD = b'"payload":"'

_TENANT = """
SELECT t.shards, p.statement FROM accounts_tenant AS t
LEFT JOIN accounts_policy AS p ON p.tenant_id = t.name AND p.about = 'pools'
WHERE t.name = %(tenant)s
"""

_EPOCHS = """
SELECT eid, id, statement FROM vault_epoch
WHERE tenant_id = %(tenant)s AND eid = ANY(%(eids)b)
"""

_BUCKET = f"""
    SELECT {COLUMNS} FROM vault_bucket
    WHERE month = %(month)b AND epoch_no = w.epoch_no AND begins <= w.{{}}
    ORDER BY begins DESC LIMIT 1"""  # noqa: S608 - a constant of ours

# Of each label the body and the bucket that answers for it, and the bucket that answers for the
# label after it: each by one probe of a primary key, which LIMIT keeps the planner from doing in
# any other way. What is asked for comes in three long values, since a list psycopg would write out
# one by one, in Python: a text of the numbers, and 16 bytes of each label.
_ROWS = f"""
SELECT s.body, b.*, a.*
FROM (
    SELECT epoch_no, n, substr(%(labels)b, 16 * n::int - 15, 16) AS label,
        substr(%(after)b, 16 * n::int - 15, 16) AS after
    FROM unnest(%(epochs)t::bigint[]) WITH ORDINALITY AS e(epoch_no, n)) AS w
LEFT JOIN LATERAL (
    SELECT body FROM vault_segment
    WHERE month = %(month)b AND epoch_no = w.epoch_no AND label = w.label
    LIMIT 1) AS s ON true
LEFT JOIN LATERAL ({_BUCKET.format("label")}) AS b ON true
LEFT JOIN LATERAL ({_BUCKET.format("after")}) AS a ON true
ORDER BY w.n
"""  # noqa: S608 - constants of ours


class EpochMissing(Exception):
    """The epoch is not the one that the keepers logged; the message says why."""


class HeldEpoch(NamedTuple):
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


class Held(NamedTuple):
    """What the store has of epochs that the keepers logged, before a row is looked for.

    ``epochs``: those that are as they were logged, in the order asked for; ``wrong``: what is wrong
    with the others, by eid; ``shards`` and ``pools``, by their digest: as the database says.
    """

    epochs: Sequence[HeldEpoch]
    wrong: Mapping[bytes, str]
    shards: int
    pools: Mapping[bytes, Pools]

    def parted(self, hour: datetime) -> tuple["Held", "Held"]:
        """The epochs before an hour with all that is wrong, and those from it on."""
        cut = bisect_left(self.epochs, hour, key=attrgetter("hour"))
        later = self._replace(epochs=self.epochs[cut:], wrong={})
        return self._replace(epochs=self.epochs[:cut]), later


class Wanted(NamedTuple):
    """A label in an epoch, whose row is wanted with its proof; and one of which only the proof is,
    that there is no row, if any."""

    epoch: HeldEpoch
    label: bytes
    after: bytes | None


# The body, the bucket that answers for its label, and the one that answers for the label after it:
# where none is wanted, any, which nobody looks at.
Found = tuple[bytes | None, BucketProof | None, BucketProof | None]


def held(tenant: str, logged: Sequence[ListedEpoch]) -> Held:
    """What there is of some epochs that the keepers logged, as the tenant sees it.

    An epoch names its pools by their digest, so who exchanges or deletes a policy makes epochs that
    fail, and no name that is not theirs.
    """
    by_eid: dict[bytes, list[ListedEpoch]] = {}
    for epoch in logged:
        # Two, should both keepers have logged two statements of it: only one can be held.
        by_eid.setdefault(epoch.eid, []).append(epoch)
    values = {"tenant": tenant, "eids": list(by_eid)}
    begin = see(tenant), (_TENANT, values)
    if len(by_eid) <= FEW:
        # All in one round trip, which is a transaction.
        _, told, _, found = exchange(*begin, PLANNED_ONCE, (_EPOCHS, values))
        checked, wrong = _epochs(tenant, by_eid, found)
    else:
        with transaction.atomic():
            _, told = exchange(*begin)
            checked, wrong = _epochs(tenant, by_eid, stream(_EPOCHS, values, _AT_ONCE))
    policies = [read_pools(statement) for _, statement in told if statement is not None]
    pools = {one.sha256: one for one in (*policies, DEFAULT) if one is not None}
    in_order = [checked[epoch] for epoch in logged if epoch in checked]
    return Held(in_order, wrong, told[0][0], pools)


def _epochs(
    tenant: str, by_eid: dict[bytes, list[ListedEpoch]], found: Iterable[tuple[bytes, int, bytes]]
) -> tuple[dict[ListedEpoch, HeldEpoch], dict[bytes, str]]:
    """The epochs that are as the keepers logged them, and what is wrong with the others, by eid."""
    checked, wrong = {}, {}
    for eid, number, statement in found:
        for epoch in by_eid.pop(eid):
            try:
                checked[epoch] = _checked(tenant, epoch, number, statement)
            except EpochMissing as error:
                wrong[eid] = str(error)
    return checked, wrong | dict.fromkeys(by_eid, MISSING)


def rows(month: int, wanted: Sequence[Wanted]) -> Iterator[Found]:
    """What is there of each, in their order; all of them of epochs of one month."""
    epochs, labels, _ = zip(*wanted, strict=True)
    values = {
        "month": month,
        "epochs": f"{{{','.join([str(epoch.number) for epoch in epochs])}}}",
        "labels": b"".join(labels),
        # Each has its place; where none is wanted, of a busy account's chunk, its own comes again.
        "after": b"".join([one.after or one.label for one in wanted]),
    }
    found = _few(values) if len(wanted) <= FEW else stream(_ROWS, values, _AT_ONCE)
    for epoch, (body, *of_label, after, leaf, path) in zip(epochs, found, strict=True):
        rows = epoch.rows
        yield body, _proof(rows, *of_label), _proof(rows, after, leaf, path)


def _proof(rows: int, number: int | None, leaf: bytes, path: bytes) -> BucketProof | None:
    return None if number is None else proof_of(rows, number, leaf, path)


def _few(values: Mapping[str, Any]) -> Iterable[Any]:
    _, found = exchange(PLANNED_ONCE, (_ROWS, values))
    return found


def _checked(tenant: str, logged: ListedEpoch, number: int, encoded: bytes) -> HeldEpoch:
    """That what is stored is what was logged.

    1. The statement's bytes are the ones that the keepers logged.
    2. It speaks of this epoch.

    Both keepers have parsed the payload strictly before they logged it: where the bytes are the
    same, it says what it said to them, however they were found.
    """
    _, found, after = encoded.partition(_PAYLOAD)
    if not found:
        raise EpochMissing(NO_STATEMENT)
    try:
        payload = a2b_base64(after.partition(b'"')[0])
        if hashlib.sha256(payload).digest() != logged.statement_sha256:
            raise EpochMissing(ANOTHER_STATEMENT)
        return _held(tenant, logged, number, json.loads(payload))
    except ValueError as error:
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
