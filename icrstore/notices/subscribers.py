"""Who the subscribers are: sealed as each line is read, found by HMAC, closed for good.

Nothing of a line is kept, logged or repeated: what is wrong with one is told by its number.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from accounts.tenancy import of_tenant
from icrstore.notices import sign_in
from icrstore.notices.models import Notice, OldContact, Subscriber
from icrstore.notices.names import LookupKey, subscriber_info
from icrstore.warrant.statements import read_account
from icrstore.warrant.strict import Fields, StatementError, dump, parse_object
from icrstore.wire import hpke

COLUMNS = ["account", "channel", "contact"]
AT_ONCE = 500
MOST_LINE_CHARACTERS = 4096
# One mailbox in ASCII (RFC 5321, a dot-string): no comma, no bracket, no space and no control
# character can reach a header, and without a question mark no "encoded word" (RFC 2047), which a
# header decodes to any of them. A dot at the beginning Python's own writer of headers fails on.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=^_`{|}~-]+"
_MAILBOX = re.compile(rf"(?=.{{1,64}}@){_ATOM}(\.{_ATOM})*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


class NotASubscriberFile(Exception):
    """The first line is not ``account,channel,contact``: nothing was loaded."""


class NoSubscriber(Exception):
    """Nobody has that account now."""


@dataclass(frozen=True)
class Contact:
    """A subscriber as their row holds them: one to tell, and where."""

    account: str
    channel: str
    contact: str

    def seal(self, tenant: str, lookup: bytes, public: bytes) -> bytes:
        fields = {"v": 1, "account": self.account, "channel": self.channel, "contact": self.contact}
        return hpke.seal(public, subscriber_info(tenant, lookup), dump(fields))

    @classmethod
    def open(cls, tenant: str, lookup: bytes, sealed: bytes, key: hpke.PrivateKey) -> "Contact":
        """Raises DoesNotOpen and StatementError. Anybody can seal one: its `mac` says more."""
        content = hpke.open_(key, subscriber_info(tenant, lookup), sealed)
        fields = Fields(parse_object(content))
        fields.version()
        try:
            return _contact([fields.text(name) for name in COLUMNS])
        except _BadLine:
            raise hpke.DoesNotOpen from None

    def mac(self, tenant: str, sealed: bytes, key: LookupKey) -> bytes:
        """That ``sealed`` was loaded as this: who only writes the database cannot make it."""
        return key.contact(tenant, self.account, self.channel, self.contact, sealed)


@dataclass
class Loaded:
    """What became of a file. ``bad`` maps a line's number to what is wrong with it."""

    new: int = 0
    same: int = 0
    changed: int = 0
    bad: dict[int, str] = field(default_factory=dict)


def load(
    tenant: str, lines: Iterable[bytes], key: LookupKey, notifier: bytes, now: datetime
) -> Loaded:
    """Load a CSV of `COLUMNS`; loaded again it changes nothing. Raises `NotASubscriberFile`.

    In groups, each a transaction: what stops half way has loaded whole groups, and a second run
    goes on. ``notifier`` is the public key (1,216 bytes) to which everything is sealed.
    """
    loaded = Loaded()
    rows = _read(lines, loaded.bad)
    while group := list(islice(rows, AT_ONCE)):
        with of_tenant(tenant):
            for contact in group:
                _load_one(tenant, contact, key, notifier, now, loaded)
    return loaded


def close(tenant: str, account: str, key: LookupKey, now: datetime) -> None:
    """From here the account is nobody's: no sign-in, no message. Raises `NoSubscriber`.

    What they are owed stays owed and counted, by this table and by the keepers.
    """
    lookup = key.find(tenant, account)
    with of_tenant(tenant):
        closed = Subscriber.objects.filter(tenant=tenant, lookup=lookup, closed_at=None).update(
            closed_at=now, sealed=None, contact_mac=None
        )
        if not closed:
            raise NoSubscriber
        OldContact.objects.filter(tenant=tenant, lookup=lookup).delete()
        sign_in.forget(tenant, lookup)


def _load_one(
    tenant: str, contact: Contact, key: LookupKey, notifier: bytes, now: datetime, loaded: Loaded
) -> None:
    lookup = key.find(tenant, contact.account)
    before = (
        Subscriber.objects.select_for_update()
        .filter(tenant=tenant, lookup=lookup, closed_at=None)
        .first()
    )
    held = bytes(before.sealed or b"") if before else b""
    if before is not None and contact.mac(tenant, held, key) == before.contact_mac:
        loaded.same += 1
        return
    sealed = contact.seal(tenant, lookup, notifier)
    mac = contact.mac(tenant, sealed, key)
    if before is None:
        # Whoever had the account before may not be read by whoever has it now.
        was_used = Subscriber.objects.filter(tenant=tenant, lookup=lookup).exists()
        Subscriber.objects.create(
            tenant_id=tenant, lookup=lookup, sealed=sealed, contact_mac=mac,
            since=now if was_used else None,
        )  # fmt: skip
        loaded.new += 1
    else:
        OldContact.objects.create(
            tenant_id=tenant, lookup=lookup, sealed=before.sealed, replaced_at=now,
            next_attempt_at=now,
        )  # fmt: skip
        before.sealed, before.contact_mac = sealed, mac
        before.save(update_fields=["sealed", "contact_mac"])
        # Whoever signed in by the contact before does so no longer.
        sign_in.forget(tenant, lookup)
        loaded.changed += 1
    # What could not be delivered for want of a contact is tried again now.
    Notice.objects.filter(tenant=tenant, lookup=lookup).update(next_attempt_at=now)


def _read(lines: Iterable[bytes], bad: dict[int, str]) -> Iterator[Contact]:
    """The good lines; each line is a record of its own, so that one bad line spoils no other."""
    first: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        try:
            cells = _cells(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
            if number == 1:
                if cells != COLUMNS:
                    raise NotASubscriberFile
                continue
            if not cells:
                continue
            contact = _contact(cells)
        except _BadLine as error:
            if number == 1:
                raise NotASubscriberFile from None
            bad[number] = error.reason
            continue
        if contact.account in first:
            bad[number] = f"account: is on line {first[contact.account]} already"
            continue
        first[contact.account] = number
        yield contact


class _BadLine(Exception):
    """A line that is not taken; ``reason`` names the column and repeats nothing of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _cells(line: bytes) -> list[str]:
    try:
        decoded = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise _BadLine("not UTF-8: export it as UTF-8") from None
    if len(decoded) > MOST_LINE_CHARACTERS:
        raise _BadLine(f"too long: a line has at most {MOST_LINE_CHARACTERS} characters")
    try:
        found: list[list[str]] = list(csv.reader([decoded], strict=True))
    except csv.Error:
        raise _BadLine(
            "a quote that does not close, or stands where none may: write it twice"
        ) from None
    return found[0] if found else []


def _contact(cells: list[str]) -> Contact:
    if len(cells) != len(COLUMNS):
        raise _BadLine("not three columns: account,channel,contact")
    account, channel, contact = cells
    if _account(account) is None:
        raise _BadLine("account: 1 to 64 bytes of NFC text without control characters")
    if channel != "email":
        raise _BadLine("channel: only email")
    if len(contact) > 254 or not _MAILBOX.fullmatch(contact):
        raise _BadLine("contact: not an e-mail address")
    return Contact(account, channel, contact)


def _account(value: Any) -> str | None:
    try:
        return read_account(value, "account")
    except StatementError:
        return None
