"""Sealing: waiting batches of one (tenant, shard) become rows of both maps, exactly once.

1. Claim what waits, under a token (`icrstore.vault.trying`).
2. Check that the collectors signed them, open the bodies, check every record, sort into hours.
3. Seal each hour as an epoch of its own, under atoms that exist only in this process.
4. Rows, statements and "sealed" commit in one transaction, and only while the token still holds.

PostgreSQL is the only truth: what a killed sealer had claimed is free the moment its connection
ends (`accounts.claims`).
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from secrets import SystemRandom
from typing import TypeVar

import pyarrow as pa
from django.db import connection, transaction

from accounts.exchange import exchange
from accounts.models import Tenant
from accounts.tenancy import of_tenant, see, tenants
from icrstore.flow.errors import FlowRefused
from icrstore.flow.schema import Unit, is_of_bindings
from icrstore.flow.validate import NEWEST, Scope, Verdict, validate
from icrstore.inbox.accept import Label
from icrstore.inbox.authorship import Author, NotSigned, check_author
from icrstore.inbox.models import Batch
from icrstore.keeper.answers import KeeperFailure
from icrstore.seal.bindings import BindingGroup, groups_of_bindings
from icrstore.seal.epoch import (
    HOUR,
    ROLES,
    Epoch,
    Role,
    commitment,
    day_of,
    hour_start,
    new_atoms,
    seal_atom,
)
from icrstore.seal.group import Group, Part, groups_of
from icrstore.seal.intake import IntakeChain, IntakeKeyGone, batch_info, hour_number
from icrstore.seal.sealing import seal_epoch
from icrstore.shell.garbage import uncollected
from icrstore.vault import models, months
from icrstore.vault.backfills import Backfills, backfills_of
from icrstore.vault.bodies import Content, NotArrow, TooManyRecords, WrongGaps, read_content
from icrstore.vault.keyring import SealerKeys
from icrstore.vault.months import month_of
from icrstore.vault.plain_bodies import NotReadable, open_plain
from icrstore.vault.policies import PoolsByHour, pools_by_hour
from icrstore.vault.schedule import DayKeys
from icrstore.vault.storing import MadeEpoch, store
from icrstore.vault.trying import blamed, claimed
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.gaps import Gap
from icrstore.warrant.machines import EpochStatement, Receipt
from icrstore.wire import hpke

logger = logging.getLogger(__name__)

GROUP_RECORDS = 2_000_000
# Every ended hour gets an epoch, empty if need be, also after a long weekend without sealers: as
# far back as keepers take one (96 hours), less the time that they may need to be told.
EMPTY_BEHIND = timedelta(hours=94)

_BODY = "SELECT body FROM inbox_batch WHERE id = %(id)s"
_MARK_SEALED = """
UPDATE inbox_batch SET state = 'sealed', claim = NULL, records = %(records)s,
    rejected = %(rejected)s, gaps = %(gaps)s, sealing = %(sealing)s
WHERE id = %(id)s AND claim = %(token)s AND state = 'accepted'
"""

T = TypeVar("T")
AnyGroup = Group | BindingGroup
MakeGroup = Callable[[], AnyGroup]
Kept = Part | pa.Table  # of connections, or of bindings
DayKeysOf = Callable[[str], Mapping[tuple[Role, int], bytes]]


class ClaimLost(Exception):
    """Another sealer has taken the batches: nothing of ours was committed."""


@dataclass(frozen=True)
class _SealedBy:
    """What a tenant's epochs are sealed by: this host's keys, the keepers' of each day, pools, and
    of each collector the old hours that it may bring in."""

    keys: SealerKeys
    day_keys: DayKeysOf
    pools: PoolsByHour
    backfills: Backfills


@dataclass
class Opened:
    """One batch, opened and checked: how many good records, and those until they are sorted into
    hours; how many of the others fell out why, and the gaps that it tells of."""

    batch: Batch
    records: int = 0
    kept: Kept | None = None
    rejected: Counter[str] = field(default_factory=Counter)
    gaps: Sequence[Gap] = ()


def seal_waiting(keys: SealerKeys, days: DayKeys, now: datetime) -> int:
    """Seal what waits and is ready, group by group; the number of batches sealed."""
    count = 0
    for tenant in _in_any_order(tenants()):
        if tenant.name not in keys.roots:
            logger.error("tenant %s: batches wait: put its root's public key into %s",
                         tenant.name, keys.folder / f"{tenant.name}.root")  # fmt: skip
            continue
        with _others_unharmed():
            late = backfills_of(tenant.name, keys, days.keepers, now)
            by = _sealed_by(tenant, keys, days, late, now)
            for shard in _in_any_order(range(tenant.shards)):
                passed: set[int] = set()
                while (sealed := _seal_group(tenant, shard, by, passed, now)) is not None:
                    count += sealed
    return count


def seal_empty_hours(keys: SealerKeys, days: DayKeys, now: datetime) -> int:
    """Give every ended hour that has no epoch, and awaits no batch, an empty one."""
    count = 0
    for tenant in tenants():
        with _others_unharmed():
            by = _sealed_by(tenant, keys, days, Backfills(), now)
            for shard in range(tenant.shards):
                count += _seal_empty(tenant, shard, by, now)
    return count


def _sealed_by(
    tenant: Tenant, keys: SealerKeys, days: DayKeys, late: Backfills, now: datetime
) -> _SealedBy:
    pools = pools_by_hour(tenant.name, days.keepers, now)
    return _SealedBy(keys, _day_keys(tenant, days), pools, late)


def _in_any_order(several: Sequence[T]) -> list[T]:
    """In no order: where one's batches have killed who sealed them, the others are not always those
    that come after it."""
    return SystemRandom().sample(several, len(several))


@contextmanager
def _others_unharmed() -> Iterator[None]:
    """A tenant whose keepers do not answer, or do not know it yet, holds up no other tenant."""
    try:
        yield
    except KeeperFailure as failure:
        logger.warning("keeper %s gave no day key: %s", failure.role, failure.code)


def _seal_empty(tenant: Tenant, shard: int, by: _SealedBy, now: datetime) -> int:
    end = min(hour_start(now), by.pools.held_from)
    made = [
        _make_epoch(tenant.name, hour, shard, (), (), by, now)
        for hour in _hours_without_epoch(tenant, shard, end, now)
    ]
    with of_tenant(tenant.name):
        with connection.cursor() as cursor:
            # Between two sealers: the second waits here, and then sees what the first has made.
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtext('empty ' || %s), %s)", [tenant.name, shard]
            )
        lacking = set(_hours_without_epoch(tenant, shard, end, now))
        made = [one for one in made if one.epoch.hour in lacking]
        store(tenant, made)
    return len(made)


def _seal_group(
    tenant: Tenant, shard: int, by: _SealedBy, passed: set[int], now: datetime
) -> int | None:
    """How many batches were sealed; None if there was none to claim. What ``passed`` names is left
    for the next look."""
    with claimed(tenant, shard, by.pools.held_from, passed, now) as (token, batches):
        if not batches:
            return None
        waiting = {batch.id for batch in batches if by.backfills.must_wait(batch)}
        passed |= waiting
        chain = by.keys.intake()
        with blamed():
            opened = _open_all((one for one in batches if one.id not in waiting), chain, by)
            hours = _hours(opened)
        months.make({month_of(hour) for hour in hours})
        for hour in hours:
            # Asked for once, here: what a keeper says wrong is no batch's fault.
            by.day_keys(day_of(hour))
        with blamed(), uncollected():
            made = [
                _make_epoch(tenant.name, hour, shard, (make() for make in groups), those, by, now)
                for hour, (groups, those) in hours.items()
            ]
        with of_tenant(tenant.name):
            store(tenant, made)
            _mark_sealed(opened, made, token, by.keys, now)
        # From here the rows are in their month: if we stop now the keepers are told later.
        return len(opened)
    # They failed by what they hold; the next claim takes others.
    return 0


def _open_all(batches: Iterable[Batch], chain: IntakeChain, by: _SealedBy) -> list[Opened]:
    """Open batches until the group is full; those left over keep for the next group."""
    made: list[Opened] = []
    records = 0
    for batch in batches:
        if records >= GROUP_RECORDS:
            break
        opened = _open(batch, chain, by)
        records += opened.records
        made.append(opened)
    return made


def _open(batch: Batch, chain: IntakeChain, by: _SealedBy) -> Opened:
    """A batch that its collector did not sign as it is here, that does not open, or is no Arrow
    stream of records, is set aside whole, by reason: none of it mends itself.

    Who may write the database chooses nothing here, not even the time by which records are late:
    that is when the collector signed.
    """
    body = _body(batch)
    try:
        root = by.keys.roots[batch.tenant_id]
        author = check_author(batch, hashlib.sha256(body).digest(), root)
        content, signed_at = _read_body(batch, body, chain, author), author.signed_at
        scope = Scope(batch.first_hour, batch.last_hour)
        backfilled = by.backfills.of(batch)
        verdict = validate(content.records, now=signed_at, backfilled=backfilled, scope=scope)
        _check_gaps(content.gaps, scope, signed_at)
    except NotSigned:
        return Opened(batch, rejected=Counter({"batch-not-signed": 1}))
    except IntakeKeyGone:
        return Opened(batch, rejected=Counter({"batch-intake-key-gone": 1}))
    except hpke.DoesNotOpen:
        return Opened(batch, rejected=Counter({"batch-does-not-open": 1}))
    except NotArrow:
        return Opened(batch, rejected=Counter({"batch-not-arrow": 1}))
    except NotReadable as error:
        return Opened(batch, rejected=Counter({error.reason: 1}))
    except TooManyRecords:
        return Opened(batch, rejected=Counter({"batch-too-many-records": 1}))
    except FlowRefused:
        return Opened(batch, rejected=Counter({"batch-wrong-columns": 1}))
    except WrongGaps:
        return Opened(batch, rejected=Counter({"batch-wrong-gaps": 1}))
    good, rejected = verdict.good, verdict.rejected + content.rejected
    return Opened(batch, good.num_rows, _kept(verdict), rejected, content.gaps)


def _kept(verdict: Verdict[pa.Table]) -> Kept | None:
    good = verdict.good
    if not good.num_rows:
        return None
    return good if is_of_bindings(good) else Part.of(good, verdict.account)


def _check_gaps(gaps: Iterable[Gap], scope: Scope, signed_at: datetime) -> None:
    """Inside the batch's hours, and over when it was signed. Raises `WrongGaps`.

    There is no age that a gap may not have: what is told late is missing all the same.
    """
    for gap in gaps:
        if gap.first < scope.first_hour or gap.last >= scope.last_hour + HOUR:
            raise WrongGaps
        if gap.last > signed_at + NEWEST:
            raise WrongGaps


def _read_body(batch: Batch, body: bytes, chain: IntakeChain, author: Author) -> Content:
    private = chain.key_pair(hour_number(batch.intake_hour))
    info = batch_info(batch.tenant_id, batch.collector.name, bytes(batch.batch_id))
    if author.plain is None:
        return read_content(hpke.open_(private, info, body))
    return open_plain(partial(hpke.open_, private, info), body, author)


def _body(batch: Batch) -> bytes:
    """The sealed body: the ORM would have it written out in hex."""
    with transaction.atomic():
        _, rows = exchange(see(batch.tenant_id), (_BODY, {"id": batch.id}))
    return rows[0][0] or b"" if rows else b""


def _hours(opened: Iterable[Opened]) -> dict[datetime, tuple[list[MakeGroup], list[Batch]]]:
    """The groups and batches of every hour; one group for each unit of time, of connections and of
    bindings. What was opened keeps its records no longer."""
    kinds: dict[Unit | pa.Schema, list[tuple[Kept, Batch]]] = {}
    for one in opened:
        if one.kept is not None:
            kind = one.kept.unit if isinstance(one.kept, Part) else one.kept.schema
            kinds.setdefault(kind, []).append((one.kept, one.batch))
        one.kept = None

    hours: dict[datetime, tuple[list[MakeGroup], list[Batch]]] = {}
    for several in kinds.values():
        batches = [batch for _, batch in several]
        for hour, group in _groups([kept for kept, _ in several]):
            groups, those = hours.setdefault(hour, ([], []))
            groups.append(group)
            those += [b for b in batches if b.first_hour <= hour <= b.last_hour]
    return hours


def _groups(several: Sequence[Kept]) -> Iterator[tuple[datetime, MakeGroup]]:
    """Of one kind."""
    tables = [one for one in several if isinstance(one, pa.Table)]
    if tables:
        return groups_of_bindings(pa.concat_tables(tables))
    return groups_of([one for one in several if isinstance(one, Part)])


def _day_keys(tenant: Tenant, days: DayKeys) -> DayKeysOf:
    """The keepers' keys of a day, read and verified once for all of its hours."""
    return cache(partial(days.of, tenant.name))


def _make_epoch(
    tenant: str,
    hour: datetime,
    shard: int,
    groups: Iterable[AnyGroup],
    batches: Sequence[Batch],
    by: _SealedBy,
    now: datetime,
) -> MadeEpoch:
    epoch, atoms, pools = Epoch.new(tenant, hour, shard), new_atoms(), by.pools.at(hour)
    sealed = seal_epoch(epoch, atoms, groups, pools)
    seals = {
        (role, instance): seal_atom(key, epoch, role, instance, atoms[role])
        for (role, instance), key in by.day_keys(epoch.day).items()
    }
    statement = EpochStatement(
        epoch=epoch,
        commitments={role: commitment(epoch, role, atoms[role]) for role in ROLES},
        seal_sha256={name: hashlib.sha256(seal).digest() for name, seal in seals.items()},
        rows=sealed.manifest.rows,
        manifest_root=sealed.manifest.root,
        batches=tuple(bytes(batch.batch_id) for batch in batches),
        pools_sha256=pools.sha256,
        sealed_at=now,
    )
    signed = Envelope.sign("epoch", statement.to_fields(), by.keys.signing)
    return MadeEpoch(epoch, sealed, signed, seals, batches)


def _mark_sealed(
    opened: Sequence[Opened],
    made: Sequence[MadeEpoch],
    token: int,
    keys: SealerKeys,
    now: datetime,
) -> None:
    """ "Sealed", only where the claim is still ours; a count that differs rolls everything back."""
    epochs = _epochs_by_batch(made)
    with connection.cursor() as cursor:
        cursor.executemany(_MARK_SEALED, [
            _sealed(_receipt(one, epochs.get(one.batch.id, ()), now), one.batch.id, token, keys)
            for one in opened
        ])  # fmt: skip
        if cursor.rowcount != len(opened):
            raise ClaimLost


def _sealed(
    sealed: Receipt, number: int, token: int, keys: SealerKeys
) -> dict[str, int | str | bytes]:
    """What its row says of a batch from now on."""
    return {
        "id": number,
        "token": token,
        "records": sealed.records,
        "rejected": json.dumps(sealed.rejected),
        "gaps": json.dumps([gap.to_fields() for gap in sealed.gaps]),
        "sealing": Envelope.sign("sealing", sealed.to_fields(), keys.signing).encode(),
    }


def _epochs_by_batch(made: Iterable[MadeEpoch]) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for one in made:
        for batch in one.batches:
            found.setdefault(batch.id, []).append(one.epoch.eid)
    return found


def _receipt(one: Opened, eids: Iterable[bytes], now: datetime) -> Receipt:
    """What became of a batch; given as its receipt once all keepers have logged its epochs."""
    batch = one.batch
    return Receipt(
        state="sealed",
        tenant=batch.tenant_id,
        collector=batch.collector.name,
        batch_id=bytes(batch.batch_id),
        **Label.of(batch).columns(),
        at=now,
        body_sha256=bytes(batch.body_sha256),
        records=one.records,
        rejected=dict(one.rejected),
        epochs=tuple(eids),
        gaps=tuple(one.gaps),
    )


def _hours_without_epoch(
    tenant: Tenant, shard: int, end: datetime, now: datetime
) -> list[datetime]:
    first = hour_start(now - EMPTY_BEHIND)
    sealed = models.Epoch.objects.filter(tenant=tenant, shard=shard, hour__gte=first)
    awaited = Batch.objects.filter(
        tenant=tenant, shard=shard, state=Batch.ACCEPTED, last_hour__gte=first
    )
    with of_tenant(tenant.name):
        held = set(sealed.values_list("hour", flat=True).distinct())
        for start, last in awaited.values_list("first_hour", "last_hour"):
            held.update(start + HOUR * n for n in range((last - start) // HOUR + 1))
    return [hour for hour in _span(first, end) if hour not in held]


def _span(first: datetime, end: datetime) -> list[datetime]:
    return [first + HOUR * n for n in range((end - first) // HOUR)]
