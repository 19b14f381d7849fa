"""What a subscriber reads: who looked, by the words of both keepers' logs, with the proof.

Opened by a key that exists while they are signed in. A row that does not open is told of: an empty
page must never be a lie.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from accounts.tenancy import of_tenant
from icrstore.keeper.locked import BoxError, unlock
from icrstore.notices.models import Notice, NoticeLeaf, Pull
from icrstore.notices.names import leaf_place
from icrstore.notices.sign_in import SignedIn
from icrstore.seal.epoch import ROLES, Role
from icrstore.warrant.statements import HourRange
from icrstore.warrant.strict import Fields, StatementError, parse_object

# The notifier asks every few seconds: who last heard from a keeper longer ago has no word on today.
CURRENT_FOR = timedelta(hours=1)


@dataclass(frozen=True)
class Leaf:
    """One leaf as it was read: ``said`` is its private text, ``shown`` what proves it."""

    role: Role
    owed_at: datetime
    said: dict[str, Any]
    shown: dict[str, Any]

    @property
    def spoken(self) -> dict[str, Any]:
        """What both keepers must say alike: all but what each draws by itself."""
        drawn = ("nonce", "subject")
        return {name: value for name, value in self.said.items() if name not in drawn}

    def proof(self) -> dict[str, Any]:
        evidence = self.shown["evidence"]
        (proven,) = evidence["leaves"]
        return {
            "keeper": self.role,
            "checkpoint": evidence["checkpoint"],
            "salt": self.shown["salt"],
            **proven,
        }


@dataclass(frozen=True)
class Entry:
    """One question about this account.

    ``records``: how many of its records the answer was made from (None: no answer names it).
    ``delivered_at``: when a message was sent; ``is_told_logged``: both keepers logged that it was.
    """

    request: str
    at: datetime
    authority: str
    purpose: str
    instrument: str
    hours: tuple[HourRange, ...]
    records: int | None
    keepers: tuple[Role, ...]
    delivered_at: datetime | None
    is_told_logged: bool
    leaves: tuple[Leaf, ...]

    @property
    def is_proven(self) -> bool:
        """Whether both keepers say the same, each cosigned by the other: what icr-verify asks."""
        first, second = (
            [leaf.spoken for leaf in self.leaves if leaf.role == role] for role in ROLES
        )
        return first == second and all(leaf.shown["evidence"] for leaf in self.leaves)

    def proof(self, tenant: str) -> dict[str, Any]:
        """What `icr-verify access` reads: each leaf with private text, salt and cosigned proof.

        Only of an entry that ``is_proven``.
        """
        leaves = [leaf.proof() for leaf in self.leaves]
        return {"v": 1, "tenant": tenant, "request_sha256": self.request, "leaves": leaves}


@dataclass(frozen=True)
class Record:
    """All entries, the newest first; ``checked_at`` is when both keepers last said all that they
    know (None: one of them never did), ``is_current`` whether that was just now; ``unreadable``
    counts the rows that somebody spoilt."""

    entries: tuple[Entry, ...]
    checked_at: datetime | None
    is_current: bool
    unreadable: int


def read(reader: SignedIn, now: datetime) -> Record:
    """Everything that this subscriber may read."""
    theirs = Notice.objects.filter(tenant=reader.tenant, lookup=reader.lookup)
    with of_tenant(reader.tenant):
        notices = list(theirs.prefetch_related("leaves"))
        checked_at = _checked_at(reader.tenant)
    unreadable, entries = 0, []
    for notice in notices:
        rows = list(notice.leaves.all())
        opened = [leaf for row in rows if (leaf := _leaf(reader, row)) is not None]
        unreadable += len(rows) - len(opened)
        if opened:
            entries.append(_entry(notice, opened, _is_logged(rows)))
    shown = [
        entry for entry in entries
        if reader.since is None or any(hours.end > reader.since for hours in entry.hours)
    ]  # fmt: skip
    ordered = sorted(shown, key=lambda entry: (entry.at, entry.request), reverse=True)
    is_current = checked_at is not None and now - checked_at <= CURRENT_FOR
    return Record(tuple(ordered), checked_at, is_current, unreadable)


def _is_logged(rows: Iterable[NoticeLeaf]) -> bool:
    """Whether each keeper is there, and has logged that each of its leaves was told of."""
    logged = {(row.role, row.logged) for row in rows}
    return logged == {(role, True) for role in ROLES}


def _leaf(reader: SignedIn, row: NoticeLeaf) -> Leaf | None:
    role: Role = "operator" if row.role == "operator" else "oversight"
    place = leaf_place(reader.tenant, reader.lookup, role, row.leaf)
    try:
        shown = parse_object(unlock(reader.access, place, bytes(row.sealed)))
        return Leaf(role, row.owed_at, parse_object(str(shown["private"]).encode()), shown)
    except (BoxError, StatementError):
        return None


def _entry(notice: Notice, leaves: Iterable[Leaf], is_told_logged: bool) -> Entry:
    ordered = tuple(sorted(leaves, key=lambda leaf: (leaf.role, leaf.shown["index"])))
    said = Fields(ordered[0].said)
    disclosed = [Fields(leaf.said) for leaf in ordered if leaf.said["type"] == "disclosure"]
    return Entry(
        request=bytes(notice.request_sha256).hex(),
        at=min(leaf.owed_at for leaf in ordered),
        authority=said.text("authority", 64),
        purpose=said.text("purpose"),
        instrument=said.text("instrument"),
        hours=said.items("hours", _hours),
        # Of keepers that differ, the larger: `is_proven` says that they do.
        records=max((one.integer("records", 0, 1 << 53) for one in disclosed), default=None),
        keepers=tuple(role for role in ROLES if any(leaf.role == role for leaf in ordered)),
        delivered_at=notice.delivered_at,
        is_told_logged=is_told_logged,
        leaves=ordered,
    )


def _hours(value: Any, place: str) -> HourRange:
    fields = Fields(value, place)
    return HourRange(fields.hour("from"), fields.hour("to"))


def _checked_at(tenant: str) -> datetime | None:
    pulls = dict(Pull.objects.filter(tenant=tenant).values_list("role", "complete_at"))
    return min(pulls.values()) if set(pulls) >= set(ROLES) else None
