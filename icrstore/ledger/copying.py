"""Copying: each log's new leaves are taken, and kept only if they lead to the root it signed.

The notifier does it: of the processes that may call keepers it is the one that follows both logs
anyway, and the one that holds no share, no atom and no row. Taken over, it can show a log that ends
early; the cosignature beside it then grows old.
"""

import contextlib
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations

from django.db.models import Count, Max

from accounts.tenancy import of_tenant, tenants
from icrstore.keeper.answers import (
    KeeperFailure,
    KeeperForked,
    KeeperRefused,
    KeepersRefused,
    Logged,
)
from icrstore.keeper.calls import Keeper
from icrstore.keeper.carry import Carrier
from icrstore.keeper.evidence import Evidence, check_leaves
from icrstore.keeper.names import pseudonym_of
from icrstore.ledger.forks import evidence_of
from icrstore.ledger.models import Checkpoint, Fork, Leaf, Log, Node
from icrstore.ledger.outside import OutsideWitness, cosign
from icrstore.tlog import checkpoint as checkpoints
from icrstore.tlog import merkle
from icrstore.tlog.errors import LogError
from icrstore.tlog.follow import Growth
from icrstore.tlog.note import parse_note

logger = logging.getLogger(__name__)

# A log without new leaves is cosigned again, so that nobody need wonder whether it is cut off.
COSIGNED_EVERY = timedelta(hours=1)
_AT_ONCE = 2000


class CopyDiffers(Exception):
    """What is held lost rows, or does not lead to the root that the log signed."""


class Copier:
    """One keeper as its log is copied; ``witness`` is the keeper that cosigns it."""

    def __init__(
        self, keeper: Keeper, witness: Keeper, outside: Sequence[OutsideWitness] = ()
    ) -> None:
        self.keeper = keeper
        self._outside = outside
        self._carrier = Carrier(keeper, witness)

    def copy(self, tenant: str, now: datetime) -> int:
        """Bring the copy of a tenant's log up to now; how many leaves came. Safe to repeat, and
        from two processes: what is held stays.

        Raises what calls to a keeper do, and `KeeperUntrue` for leaves without their root.
        """
        log = self._log(tenant)
        note = self.keeper.checkpoint(log.origin)
        if self._is_held(log, note, now):
            return 0
        try:
            shown = self._carrier.carry(Logged((), (), note), None).evidence
        except KeeperForked as forked:
            self._keep_fork(log, forked.notes, now)
            raise
        signed, cosigned_at = check_leaves(shown, self._carrier.keys, 0)
        if signed.origin != log.origin:
            raise self.keeper.untrue("origin")
        if self._contradicts(log, signed):
            self._keep_fork(log, [shown.checkpoint], now)
            raise KeeperForked(self.keeper.role, [shown.checkpoint])
        return self._keep(log, signed, shown, datetime.fromtimestamp(cosigned_at, UTC))

    def _log(self, tenant: str) -> Log:
        # Asked each time: a keeper that was made anew has another log, and the old copy stays.
        origin = self.keeper.origin(tenant)
        with of_tenant(tenant):
            return Log.objects.get_or_create(
                tenant_id=tenant, role=self.keeper.role, origin=origin,
                pseudonym=pseudonym_of(origin),
            )[0]  # fmt: skip

    def _is_held(self, log: Log, note: str, now: datetime) -> bool:
        try:
            key = self._carrier.keys.log_verifier(log.origin)
            signed = checkpoints.verify_checkpoint(note.encode(), log.origin, key)
        except LogError as error:
            raise self.keeper.untrue("checkpoint") from error
        with of_tenant(log.tenant_id):
            newest = log.newest()
            held = _held(log, signed.size)
        is_whole = newest is not None and newest.size == held == signed.size
        return is_whole and newest is not None and now - newest.cosigned_at < COSIGNED_EVERY

    def _contradicts(self, log: Log, signed: checkpoints.Checkpoint) -> bool:
        """Whether another history was copied before: its witness must have turned with it."""
        with of_tenant(log.tenant_id):
            newest = log.newest()
        if newest is None:
            return False
        key = self._carrier.keys.log_verifier(log.origin)
        try:
            before = checkpoints.verify_checkpoint(newest.note.encode(), log.origin, key)
        except LogError:
            return False  # somebody wrote the database: it is evidence of nothing
        small, large = sorted((before, signed), key=lambda each: each.size)
        try:
            proof = self.keeper.consistency(log.origin, small.size, large.size)
            merkle.verify_consistency(small.size, large.size, proof, small.root, large.root)
        except (LogError, KeeperRefused):
            return True
        return False

    def _keep_fork(self, log: Log, notes: Iterable[str], now: datetime) -> None:
        """Keep what convicts the log, if these notes and what was copied before do."""
        key = self._carrier.keys.log_verifier(log.origin)
        signed = []
        with of_tenant(log.tenant_id):
            held = [checkpoint.note for checkpoint in log.checkpoints.order_by("-size")[:1]]
            entries = [
                leaf.text.encode() for leaf in Leaf.objects.filter(log=log).order_by("number")
            ]
        for note in (*notes, *held):
            with contextlib.suppress(LogError):
                signed.append((checkpoints.verify_checkpoint(note.encode(), log.origin, key), note))
        trees = (lambda size: entries[:size], lambda size: self._entries(log, size))
        for one, other in combinations(signed, 2):
            evidence = evidence_of(one, other, trees)
            if evidence is not None:
                logger.error("log %s forked: its keeper signed two histories", log.origin)
                with of_tenant(log.tenant_id):
                    Fork.objects.bulk_create(
                        [Fork(log=log, found_at=now, evidence=evidence.decode())],
                        ignore_conflicts=True,
                    )
                return

    def _cosigned_outside(self, origin: str, note: str) -> str:
        def consistency(old: int, new: int) -> Sequence[bytes]:
            return self.keeper.consistency(origin, old, new)

        made = cosign(self._outside, parse_note(note.encode()), consistency)
        return made.encode().decode()

    def _entries(self, log: Log, size: int) -> list[bytes]:
        with contextlib.suppress(KeeperFailure):
            return self.keeper.entries(log.origin, 0, size)
        return []

    def _keep(
        self, log: Log, signed: checkpoints.Checkpoint, shown: Evidence, cosigned_at: datetime
    ) -> int:
        note = self._cosigned_outside(log.origin, shown.checkpoint)
        with of_tenant(log.tenant_id):
            held = _held(log, signed.size)
        for first in dict.fromkeys((held, 0)):
            entries = self.keeper.entries(log.origin, first, signed.size)
            try:
                with of_tenant(log.tenant_id):
                    _add(log, first, entries, signed)
                    # From here whoever reads this checkpoint finds all of its leaves.
                    Checkpoint.objects.bulk_create(
                        [Checkpoint(log=log, size=signed.size, cosigned_at=cosigned_at,
                                    note=note)],
                        ignore_conflicts=True,
                    )  # fmt: skip
            except CopyDiffers:
                logger.warning("the copy of %s differs: it is made again", log.origin)
                continue
            return len(entries)
        raise self.keeper.untrue("entries")


def copy(copiers: Iterable[Copier], now: datetime) -> int:
    """Copy every tenant's log at each keeper; how many leaves came. A keeper that is down waits,
    and so does the other's log, which nobody can cosign meanwhile."""
    count, everyone = 0, tenants()
    for copier in copiers:
        for tenant in everyone:
            try:
                count += copier.copy(tenant.name, now)
            except KeeperFailure as failure:
                logger.warning("log: keeper %s: %s", failure.role, failure.code)
            except KeepersRefused as refused:
                logger.warning("log: %s", refused)
    return count


def _held(log: Log, size: int) -> int:
    """How many of a log's leaves are held, from the first on; 0 if one among them is lost."""
    held = Leaf.objects.filter(log=log, number__lt=size)
    found = held.aggregate(count=Count("number"), last=Max("number"))
    return int(found["count"]) if found["last"] == found["count"] - 1 else 0


def _add(log: Log, first: int, entries: Sequence[bytes], signed: checkpoints.Checkpoint) -> None:
    """Keep leaves ``first`` and on with their nodes, if they lead to the signed root.

    Raises `CopyDiffers`, and nothing of them is kept.
    """
    growth = Growth(_held_nodes(log))
    growth.add(first, entries)
    if merkle.root(growth.node, signed.size) != signed.root:
        raise CopyDiffers
    leaves = [Leaf(log=log, number=n, text=_text(e)) for n, e in enumerate(entries, first)]
    nodes = [
        Node(log=log, level=level, number=number, hash=hash_)
        for (level, number), hash_ in growth.made.items()
    ]
    Leaf.objects.bulk_create(leaves, _AT_ONCE, ignore_conflicts=True)
    Node.objects.bulk_create(nodes, _AT_ONCE, ignore_conflicts=True)


def _held_nodes(log: Log) -> merkle.Node:
    """A log's nodes that are held; what is not raises `CopyDiffers`."""

    def node(level: int, number: int) -> bytes:
        held = Node.objects.filter(log=log, level=level, number=number).first()
        if held is None or len(held.hash) != merkle.HASH_BYTES:
            raise CopyDiffers
        return bytes(held.hash)

    return node


def _text(entry: bytes) -> str:
    """A leaf is ASCII, and no text of PostgreSQL's has a NUL. Raises `CopyDiffers`."""
    if b"\0" in entry:
        raise CopyDiffers
    try:
        return entry.decode("ascii")
    except UnicodeDecodeError:
        raise CopyDiffers from None
