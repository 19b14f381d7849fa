"""Delivering: one message for each notice that is ready, sent first and recorded after.

A crash between the two sends the same message again, by the same id: told twice is the safe side,
since a subscriber who was never told is what all of this exists to prevent. From the record on it
is never sent again, and its signed statements wait for the keepers (`report`).
"""

import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from django.db import connection

from accounts.claims import FREE, held_token
from accounts.tenancy import of_tenant, tenants
from icrstore.keeper.locked import BoxError, unlock
from icrstore.keeper.telling import sign_notice
from icrstore.notices import words
from icrstore.notices.keyring import NotifierKeys
from icrstore.notices.mail import Mail, NotSent, Unreachable
from icrstore.notices.models import Notice, NoticeLeaf, OldContact, SignIn, Subscriber
from icrstore.notices.names import leaf_place
from icrstore.notices.sign_in import CODE, CODE_LIFE, code_info
from icrstore.notices.subscribers import Contact
from icrstore.seal.epoch import ROLES, Role
from icrstore.warrant.strict import Fields, StatementError, parse_object
from icrstore.wire import hpke

logger = logging.getLogger(__name__)

# One look sends for so long; the next goes on.
LOOK_SECONDS = 20.0
# A question that shares were lent for and no answer named: the engine may still be at work.
SETTLED_AFTER = timedelta(minutes=15)
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=6)
# An address that takes no mail for a week will not be told that it was replaced.
OLD_CONTACT_LIFE = timedelta(days=7)

# No wait of ours ends later than LONGEST_WAIT from now, and no leaf came after now: such times are
# somebody else's, or of a clock that was wrong, and put nothing off.
_TRIED = "(next_attempt_at <= %(now)s OR next_attempt_at > %(longest)s)"
# One notice with a leaf that nobody was told of, once both keepers said whom the answer names or
# neither has said anything for a while.
_CLAIM = f"""
UPDATE notices_notice SET claim = %(token)s
WHERE id = (
    SELECT id FROM notices_notice
    WHERE tenant_id = %(tenant)s AND {_TRIED} AND {FREE}
      AND EXISTS (SELECT 1 FROM notices_noticeleaf AS leaf
                  WHERE leaf.notice_id = notices_notice.id AND leaf.statement IS NULL
                    AND NOT leaf.logged)
      AND (newest_leaf_at <= %(settled)s OR newest_leaf_at > %(now)s
           OR (SELECT count(DISTINCT role) FROM notices_noticeleaf AS leaf
               WHERE leaf.notice_id = notices_notice.id AND leaf.is_disclosure) = %(roles)s)
    ORDER BY next_attempt_at FOR UPDATE SKIP LOCKED LIMIT 1)
RETURNING id
"""  # noqa: S608 - FREE is a constant of ours

_CLAIM_CODE = f"""
UPDATE notices_signin SET claim = %(token)s
WHERE id = (
    SELECT id FROM notices_signin
    WHERE tenant_id = %(tenant)s AND NOT is_sent AND next_attempt_at <= %(now)s
      AND asked_at > %(oldest)s AND {FREE}
    ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1)
RETURNING id
"""  # noqa: S608 - FREE is a constant of ours

_CLAIM_OLD_CONTACT = f"""
UPDATE notices_oldcontact SET claim = %(token)s
WHERE id = (
    SELECT id FROM notices_oldcontact
    WHERE tenant_id = %(tenant)s AND {_TRIED} AND {FREE}
    ORDER BY next_attempt_at FOR UPDATE SKIP LOCKED LIMIT 1)
RETURNING id
"""  # noqa: S608 - FREE is a constant of ours


class NotDeliverable(Exception):
    """There is nobody to send it to; ``code`` says why, and it stays owed."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Delivery:
    """Who delivers, by which way, and where subscribers sign in (a URL up to the tenant's name)."""

    keys: NotifierKeys
    mail: Mail
    sign_in_url: str

    def deliver(self, now: datetime) -> int:
        """Send what is ready; how many messages left. Safe from two processes at once."""
        count, ends = 0, time.monotonic() + LOOK_SECONDS
        with held_token() as token:
            for step, tenant in self._steps():
                while time.monotonic() < ends:
                    try:
                        sent = step(token, tenant, now)
                    except Unreachable:
                        # The others would wait for the same server.
                        return count
                    if sent is None:
                        break
                    count += sent
        return count

    def send_codes(self, now: datetime) -> int:
        """Only the codes, for which people wait at their screens; for as long as a look sends."""
        count, ends = 0, time.monotonic() + LOOK_SECONDS
        with held_token() as token, contextlib.suppress(Unreachable):
            for tenant in _shuffled():
                while time.monotonic() < ends:
                    if (sent := self._code(token, tenant, now)) is None:
                        break
                    count += sent
        return count

    def _steps(self) -> list[tuple[Callable[[int, str, datetime], int | None], str]]:
        names = _shuffled()
        # Codes come last: they have a look of their own, and no end if somebody floods us.
        steps = (self._old_contact, self._notice, self._code)
        return [(step, name) for step in steps for name in names]

    def _code(self, token: int, tenant: str, now: datetime) -> int | None:
        oldest = now - CODE_LIFE
        number = _claimed(tenant, _CLAIM_CODE, {"token": token, "now": now, "oldest": oldest})
        if number is None:
            return None
        with of_tenant(tenant):
            asked = SignIn.objects.get(id=number)
        lookup = bytes(asked.lookup)
        try:
            to = self._contact(tenant, lookup)[1]
            code = self._open_code(tenant, lookup, bytes(asked.sealed))
            message_id = self.keys.lookup.message(tenant, to.account, [bytes(asked.sealed)])
            self.mail.send(words.sign_in_code(message_id, to.contact, code), now)
        except (NotDeliverable, hpke.DoesNotOpen):
            # Nobody's account: whoever asked is told nothing of that.
            _is_sent(asked)
            return 0
        except NotSent as failed:
            _put_off(asked, failed.code, now)
            if isinstance(failed, Unreachable):
                raise
            return 0
        _is_sent(asked)
        return 1

    def _open_code(self, tenant: str, lookup: bytes, sealed: bytes) -> str:
        """Eight digits and nothing else: web, taken over, writes no message of its own."""
        code = hpke.open_(self.keys.opening, code_info(tenant, lookup), sealed)
        if not CODE.fullmatch(code):
            raise hpke.DoesNotOpen
        return code.decode("ascii")

    def _contact(self, tenant: str, lookup: bytes) -> tuple[Subscriber, Contact]:
        open_ = Subscriber.objects.filter(tenant=tenant, lookup=lookup, closed_at=None)
        with of_tenant(tenant):
            subscriber = open_.first()
        if subscriber is None:
            raise NotDeliverable("no-contact")
        sealed = bytes(subscriber.sealed or b"")
        to = self._open(tenant, lookup, sealed)
        if to.mac(tenant, sealed, self.keys.lookup) != subscriber.contact_mac:
            raise NotDeliverable("contact-does-not-open")
        return subscriber, to

    def _notice(self, token: int, tenant: str, now: datetime) -> int | None:
        settled: dict[str, int | datetime] = {
            "settled": now - SETTLED_AFTER,
            "roles": len(ROLES),
        }
        number = _claimed(tenant, _CLAIM, {**_claim(token, now), **settled})
        if number is None:
            return None
        with of_tenant(tenant):
            notice = Notice.objects.get(id=number)
            untold = notice.leaves.filter(statement=None, logged=False)
            leaves = list(untold.order_by("role", "number"))
        try:
            if leaves:
                self._send(notice, leaves, now)
        except (NotDeliverable, NotSent) as failed:
            _put_off(notice, failed.code, now)
            if isinstance(failed, Unreachable):
                raise
            return 0
        return 1

    def _send(self, notice: Notice, leaves: Sequence[NoticeLeaf], now: datetime) -> None:
        tenant, lookup = notice.tenant_id, bytes(notice.lookup)
        subscriber, to = self._contact(tenant, lookup)
        texts = [self._text(tenant, lookup, to.account, leaf) for leaf in leaves]
        if subscriber.since and all(_ends(text) <= subscriber.since for text in texts):
            raise NotDeliverable("before-this-subscriber")
        about = [f"{leaf.role} {leaf.leaf}".encode() for leaf in leaves]
        message_id = self.keys.lookup.message(tenant, to.account, about)
        where = self.sign_in_url + quote(tenant, safe="")
        self.mail.send(words.new_entry(message_id, to.contact, where), now)
        # Here the message has left: a crash before the next line's end sends it again.
        self._record(notice, list(zip(leaves, texts, strict=True)), now)

    def _record(
        self, notice: Notice, told: Sequence[tuple[NoticeLeaf, Fields]], now: datetime
    ) -> None:
        # From here it is told, and each keeper will be, however often we stop.
        with of_tenant(notice.tenant_id):
            for leaf, text in told:
                statement = sign_notice(
                    notice.tenant_id, leaf.leaf, str(text.take("leaf")), self.mail.channel, now,
                    self.keys.signing,
                )  # fmt: skip
                leaf.statement = statement.encode()
                leaf.save(update_fields=["statement"])
            Notice.objects.filter(id=notice.id, claim=notice.claim).update(
                delivered_at=now, attempts=0, why="", claim=None
            )

    def _old_contact(self, token: int, tenant: str, now: datetime) -> int | None:
        number = _claimed(tenant, _CLAIM_OLD_CONTACT, _claim(token, now))
        if number is None:
            return None
        with of_tenant(tenant):
            old = OldContact.objects.get(id=number)
        sealed = bytes(old.sealed)
        try:
            to = self._open(tenant, bytes(old.lookup), sealed)
            message_id = self.keys.lookup.message(tenant, to.account, [sealed])
            self.mail.send(words.contact_changed(message_id, to.contact), now)
        except (NotDeliverable, NotSent) as failed:
            if now - old.replaced_at > OLD_CONTACT_LIFE:
                _delete(old)
            else:
                _put_off(old, failed.code, now)
            if isinstance(failed, Unreachable):
                raise
            return 0
        _delete(old)
        return 1

    def _open(self, tenant: str, lookup: bytes, sealed: bytes) -> Contact:
        try:
            return Contact.open(tenant, lookup, sealed, self.keys.opening)
        except (hpke.DoesNotOpen, StatementError):
            # Somebody wrote the database. The ISP's file, loaded again, mends it.
            raise NotDeliverable("contact-does-not-open") from None

    def _text(self, tenant: str, lookup: bytes, account: str, leaf: NoticeLeaf) -> Fields:
        role: Role = "operator" if leaf.role == "operator" else "oversight"
        place = leaf_place(tenant, lookup, role, leaf.leaf)
        try:
            key = self.keys.lookup.access(tenant, account)
            return Fields(parse_object(unlock(key, place, bytes(leaf.sealed))))
        except (BoxError, StatementError):
            # Somebody wrote the database: without its row the debt comes back from the keeper.
            _delete(leaf)
            raise NotDeliverable("leaf-does-not-open") from None


def _ends(text: Fields) -> datetime:
    """The end of the last hour that a leaf speaks of."""
    said = Fields(parse_object(str(text.take("private")).encode()))
    return max(said.items("hours", lambda hours, at: Fields(hours, at).time("to"), 1))


def _delete(row: NoticeLeaf | OldContact) -> None:
    with of_tenant(row.tenant_id):
        row.delete()


def _shuffled() -> list[str]:
    """Tenants in an order that differs from look to look, so that none is always the last."""
    names = [tenant.name for tenant in tenants()]
    random.shuffle(names)
    return names


def _is_sent(asked: SignIn) -> None:
    with of_tenant(asked.tenant_id):
        SignIn.objects.filter(id=asked.id).update(is_sent=True, claim=None)


def _claim(token: int, now: datetime) -> dict[str, int | datetime]:
    return {"token": token, "now": now, "longest": now + LONGEST_WAIT}


def _claimed(tenant: str, query: str, values: dict[str, int | datetime]) -> int | None:
    with of_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(query, {**values, "tenant": tenant})
        found = cursor.fetchone()
    return int(found[0]) if found else None


def _put_off(row: Notice | OldContact | SignIn, code: str, now: datetime) -> None:
    """Later, and ever later; with jitter, so that not all of them come back together."""
    logger.warning("%s %s: %s", type(row).__name__, row.pk, code)
    wait = min(FIRST_WAIT * 2 ** min(row.attempts, 10), LONGEST_WAIT)
    row.attempts += 1
    row.next_attempt_at = now + wait * random.uniform(0.75, 1.0)  # noqa: S311 - no secret
    row.claim = None
    changed = ["attempts", "next_attempt_at", "claim"]
    if isinstance(row, Notice):
        row.why = code
        changed.append("why")
    with of_tenant(row.tenant_id):
        row.save(update_fields=changed)
