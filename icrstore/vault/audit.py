"""The full audit: every epoch's manifest is made again from its rows, and compared with its word.

It needs no key, so it finds what was lost, added or altered, and not what it said. Memory holds
one epoch's manifest and a few rows at a time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from django.db import connection

from accounts.tenancy import of_tenant, tenants
from icrstore.seal.epoch import ROLES, day_of
from icrstore.seal.manifest import ENTRY_BYTES, Manifest, ManifestError, entry
from icrstore.vault import models
from icrstore.vault.manifests import stored_proofs
from icrstore.vault.months import month_of
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import EpochStatement
from icrstore.warrant.strict import Fields, StatementError, parse_object, time_text

ROWS_AT_ONCE = 2000

# By role, then eid: the digest of the statement that a keeper of this role logged.
Lists = Mapping[str, Mapping[bytes, bytes]]


@dataclass(frozen=True)
class Span:
    """UTC hours from ``first`` (included) to ``end`` (excluded)."""

    first: datetime
    end: datetime


@dataclass
class Audit:
    """What was looked at, told day by day, and every fault, told as it is found."""

    tell: Callable[[str], None]
    progress: Callable[[str], None]
    epochs: int = 0
    rows: int = 0
    batches: int = 0
    faults: int = field(default=0, init=False)

    def fault(self, where: str, what: str) -> None:
        self.faults += 1
        self.tell(f"{where}: {what}")


def audit_tenant(
    audit: Audit, tenant: str, span: Span, sealers: Sequence[bytes], lists: Lists
) -> None:
    """Every epoch of a tenant's hours, against its statement, its rows, and the keepers' lists."""
    epochs = models.Epoch.objects.filter(
        tenant=tenant, hour__gte=span.first, hour__lt=span.end
    ).order_by("hour", "id")
    with of_tenant(tenant):
        numbers = list(epochs.values_list("id", "hour"))
    held, day = set(), ""
    for number, hour in numbers:
        if day != day_of(hour):
            day = day_of(hour)
            audit.progress(f"{tenant} {day}: {audit.epochs} epochs and {audit.rows} rows before")
        with of_tenant(tenant):
            row = models.Epoch.objects.get(id=number)
            where = f"{tenant} {time_text(row.hour)} epoch {bytes(row.eid).hex()}"
            for what in _of_epoch(audit, row, sealers, lists):
                audit.fault(where, what)
        held.add(bytes(row.eid))
        audit.epochs += 1
    for role, listed in lists.items():
        for eid in sorted(listed.keys() - held):
            audit.fault(f"{tenant} epoch {eid.hex()}", f"the {role} keeper logged it: not here")


def audit_strays(audit: Audit, span: Span, living: datetime) -> None:
    """Rows of no epoch of any tenant, in the months of these hours of which every day lives: those
    of a day that has expired outlive their epoch until their month goes. ``living``: the first day.
    """
    first = max(month_of(span.first), month_of(living - timedelta(days=1)) + 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT month, epoch_no, count(*) FROM ("
            " SELECT month, epoch_no FROM vault_segment"
            " UNION ALL SELECT month, epoch_no FROM vault_bucket)"
            " WHERE month BETWEEN %s AND %s GROUP BY 1, 2 ORDER BY 1, 2",
            [first, month_of(span.end)],
        )
        found = cursor.fetchall()
    # Rows and their epoch commit at once, so what is sealed meanwhile has its epoch here.
    known: set[tuple[int, int]] = set()
    for tenant in tenants():
        with of_tenant(tenant.name):
            known.update(models.Epoch.objects.values_list("month", "id"))
    for month, number, count in found:
        if (month, number) not in known:
            audit.fault(f"month {month}", f"{count} rows of no epoch (number {number})")


def _of_epoch(
    audit: Audit, row: models.Epoch, sealers: Sequence[bytes], lists: Lists
) -> Iterator[str]:
    """What is wrong with an epoch.

    1. A sealer host of the trust file signed its statement, which speaks of this row.
    2. Its manifest is the statement's.
    3. Its rows are the manifest's: none missing, altered or added.
    4. Every keeper of the statement acknowledged it, by its row and, where we have it, by its list.
    """
    # 1.
    try:
        envelope = Envelope.parse(bytes(row.statement), "epoch")
        statement = EpochStatement.parse(envelope)
    except (StatementError, ValueError):
        yield "its statement is none"
        return
    if not any(_signed(envelope, key) for key in sealers):
        yield "no sealer host of the trust file signed its statement"
    epoch = statement.epoch
    said = (epoch.tenant, epoch.eid, epoch.hour, epoch.shard, month_of(epoch.hour), statement.rows)
    if said != (row.tenant_id, bytes(row.eid), row.hour, row.shard, row.month, row.rows):
        yield "its row says something else than its statement"
    # 2.
    stored = list(stored_proofs(row.month, row.id, statement.rows))
    entries = b"".join(proof.bucket for _, proof in stored)
    try:
        manifest = Manifest(entries)
        is_its_own = (manifest.root, manifest.rows) == (statement.manifest_root, statement.rows)
        # Its buckets, and that each is found where its labels are looked for.
        is_its_own &= stored == [(proof.begins, proof) for proof in manifest.proofs()]
    except ManifestError:
        is_its_own = False
    if not is_its_own:
        yield "its manifest is not the one of its statement"
    # 3.
    yield from _of_rows(audit, row, entries)
    # 4.
    yield from _of_keepers(row, statement, envelope.sha256, lists)


def _of_rows(audit: Audit, row: models.Epoch, entries: bytes) -> Iterator[str]:
    expected = {entries[at : at + 16]: entries[at + 16 : at + ENTRY_BYTES]
                for at in range(0, len(entries), ENTRY_BYTES)}  # fmt: skip
    altered = added = 0
    for label, body in _rows(row):
        audit.rows += 1
        digest = expected.pop(label, None)
        if digest is None:
            added += 1
        elif label + digest != entry(label, body):
            altered += 1
    counts = {"missing": len(expected), "altered": altered, "not in its manifest, or twice": added}
    for what, count in counts.items():
        if count:
            yield f"{count} rows {what}"


def _rows(row: models.Epoch) -> Iterator[tuple[bytes, bytes]]:
    """Label and body of every row, a few at a time: inside the caller's transaction."""
    with connection.connection.cursor(name="audit") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(
            "SELECT label, body FROM vault_segment WHERE month = %s AND epoch_no = %s",
            [row.month, row.id],
        )
        for label, body in cursor:
            yield bytes(label), bytes(body)


def _of_keepers(
    row: models.Epoch, statement: EpochStatement, sha256: bytes, lists: Lists
) -> Iterator[str]:
    seals = models.EpochSeal.objects.filter(epoch=row).values_list(
        "role", "instance", "acknowledged_at", "refused"
    )
    said = {(role, instance): refused or (None if at else "not yet logged")
            for role, instance, at, refused in seals}  # fmt: skip
    for name in sorted(statement.seal_sha256):
        if why := said.get(name, "not handed in"):
            yield f"keeper {name[0]}-{name[1]}: {why}"
    for role, listed in lists.items():
        if listed.get(bytes(row.eid)) != sha256:
            how = "logged another statement" if bytes(row.eid) in listed else "did not log it"
            yield f"the {role} keeper {how}, by its own list"


def _signed(envelope: Envelope, key: bytes) -> bool:
    with suppress(StatementError):
        envelope.verify(key)
        return True
    return False


def read_list(path: Path, tenant: str, span: Span) -> tuple[str, dict[bytes, bytes]]:
    """A keeper's role and its epochs of a tenant's hours, from what `python -m icrstore.keeper
    epochs` printed. Raises `StatementError`, ValueError, OSError."""
    roles, listed = set(), {}
    with path.open() as file:
        for line in file:
            fields = Fields(parse_object(line.encode()))
            roles.add(fields.one_of("role", ROLES))
            of, eid = fields.text("tenant", 64), fields.hexadecimal("eid", 16)
            hour, sha256 = fields.hour("hour"), fields.hexadecimal("statement_sha256", 32)
            fields.finish()
            if of == tenant and span.first <= hour < span.end:
                listed[eid] = sha256
    if len(roles) != 1:
        raise ValueError("it is not one keeper's list")
    return roles.pop(), listed
