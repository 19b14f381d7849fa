"""What a subscriber reads: who looked, by the words of both keepers' logs, with the proof.

Opened by a key that exists while they are signed in. A row that does not open is told of: an empty
page must never be a lie.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.tenancy import of_tenant
from icrstore.keeper.locked import BoxError, unlock
from icrstore.notices.models import Notice, NoticeLeaf, Pull
from icrstore.notices.names import leaf_place
from icrstore.notices.sign_in import SignedIn
from icrstore.seal.epoch import ROLES, Role
from icrstore.warrant.statements import HourRange
from icrstore.warrant.strict import Fields, StatementError, parse_object


@dataclass(frozen=True)
class Leaf:
    """One leaf as it was read: ``said`` is its private text, ``shown`` what proves it."""

    role: Role
    owed_at: datetime
    said: dict[str, Any]
    shown: dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One question about this account."""

    request: str
    at: datetime
    authority: str
    purpose: str
    instrument: str
    hours: tuple[HourRange, ...]
    is_disclosed: bool
    keepers: tuple[Role, ...]
    delivered_at: datetime | None
    leaves: tuple[Leaf, ...]

    def proof(self, tenant: str) -> dict[str, Any]:
        """Every leaf with its private text, salt and cosigned proof: the account opens the rest."""
        leaves = [{"keeper": leaf.role, **leaf.shown} for leaf in self.leaves]
        return {"v": 1, "tenant": tenant, "request_sha256": self.request, "leaves": leaves}


@dataclass(frozen=True)
class Record:
    """All entries, the newest first; ``checked_at`` is when both keepers last said all that they
    know (None: one of them never did); ``unreadable`` counts the rows that somebody spoilt."""

    entries: tuple[Entry, ...]
    checked_at: datetime | None
    unreadable: int


def read(reader: SignedIn) -> Record:
    """Everything that this subscriber may read."""
    theirs = Notice.objects.filter(tenant=reader.tenant, lookup=reader.lookup)
    with of_tenant(reader.tenant):
        notices = list(theirs.prefetch_related("leaves"))
        checked_at = _checked_at(reader.tenant)
    unreadable, entries = 0, []
    for notice in notices:
        leaves = [_leaf(reader, row) for row in notice.leaves.all()]
        unreadable += sum(leaf is None for leaf in leaves)
        opened = [leaf for leaf in leaves if leaf is not None]
        if opened:
            entries.append(_entry(notice, opened))
    shown = [
        entry for entry in entries
        if reader.since is None or any(hours.end > reader.since for hours in entry.hours)
    ]  # fmt: skip
    ordered = sorted(shown, key=lambda entry: (entry.at, entry.request), reverse=True)
    return Record(tuple(ordered), checked_at, unreadable)


def _leaf(reader: SignedIn, row: NoticeLeaf) -> Leaf | None:
    role: Role = "operator" if row.role == "operator" else "oversight"
    place = leaf_place(reader.tenant, reader.lookup, role, row.leaf)
    try:
        shown = parse_object(unlock(reader.access, place, bytes(row.sealed)))
        return Leaf(role, row.owed_at, parse_object(str(shown["private"]).encode()), shown)
    except (BoxError, StatementError):
        return None


def _entry(notice: Notice, leaves: Iterable[Leaf]) -> Entry:
    ordered = tuple(sorted(leaves, key=lambda leaf: (leaf.role, leaf.shown["index"])))
    said = Fields(ordered[0].said)
    return Entry(
        request=bytes(notice.request_sha256).hex(),
        at=min(leaf.owed_at for leaf in ordered),
        authority=said.text("authority", 64),
        purpose=said.text("purpose"),
        instrument=said.text("instrument"),
        hours=said.items("hours", _hours),
        is_disclosed=any(leaf.said["type"] == "disclosure" for leaf in ordered),
        keepers=tuple(role for role in ROLES if any(leaf.role == role for leaf in ordered)),
        delivered_at=notice.delivered_at,
        leaves=ordered,
    )


def _hours(value: Any, place: str) -> HourRange:
    fields = Fields(value, place)
    return HourRange(fields.hour("from"), fields.hour("to"))


def _checked_at(tenant: str) -> datetime | None:
    pulls = dict(Pull.objects.filter(tenant=tenant).values_list("role", "complete_at"))
    return min(pulls.values()) if set(pulls) >= set(ROLES) else None
