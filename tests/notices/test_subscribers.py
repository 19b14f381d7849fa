"""Who the subscribers are: loaded line by line, changed, closed, recycled; and never legible."""

from datetime import timedelta
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from icrstore.notices import sign_in
from icrstore.notices.models import Notice, OldContact, Subscriber
from icrstore.notices.subscribers import Contact, NoSubscriber, NotASubscriberFile
from icrstore.shell.keyfile import PublicKey, write_secret
from icrstore.warrant.strict import dump
from tests.keeper.papers import TENANT, utc_now
from tests.notices.office import Office, address_of, later, new_name

HEAD = b"account,channel,contact\n"


def test_bad_lines_are_told_by_number_and_the_others_are_loaded(office: Office) -> None:
    lines = [
        b"\xef\xbb\xbfaccount,channel,contact\r\n",
        b"line-1,email,one@example.net\r\n",
        b"line-2,fax,two@example.net\n",
        b"line-3,email,not an address\n",
        b"line-4,email,a@b,c@d\n",
        b"line-5,email\n",
        b"\n",
        b",email,six@example.net\n",
        b"line-\xff,email,seven@example.net\n",
        b'"line-8,email,eight@example.net\n',
        b"line-1,email,nine@example.net\n",
        b"a" * 10_000 + b",email,ten@example.net\n",
        b"l" * 65 + b",email,eleven@example.net\n",
        "cafe\u0301,email,twelve@example.net\n".encode(),
        b'"line,14",email,fourteen@example.net',
        b"line-15,email,fifteen@example.net\x00\n",
        b"line-16,email,x@example.net%0aBcc:y@example.net\n",
        # Words that a header decodes: into another address, into lines, into an error.
        b"line-17,email,=?utf-8?q?eve=40example.net=2C?=@example.net\n",
        b"line-18,email,=?utf-8?q?a=0ABcc=3Ab?=@example.net\n",
        b"line-19,email,=?utf-8?q??=@example.net\n",
    ]
    loaded = office.load_lines(*lines)
    assert (loaded.new, loaded.same, loaded.changed) == (2, 0, 0)
    assert sorted(loaded.bad) == [3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20]
    told = " ".join(loaded.bad.values())
    for word in ("example", "line-", "cafe", "fax", "aaaa", "llll"):
        assert word not in told
    assert loaded.bad[11] == "account: is on line 2 already"
    assert loaded.bad[3] == "channel: only email"


@pytest.mark.parametrize(
    "first", [b"contact,account,channel\n", b"line-1,email,a@b\n", b"\xff\n", b"\n"]
)
def test_a_file_without_the_head_loads_nothing(office: Office, first: bytes) -> None:
    with pytest.raises(NotASubscriberFile):
        office.load_lines(first, b"line-1,email,one@example.net\n")
    assert not Subscriber.objects.exists()


def test_loaded_again_nothing_changes(office: Office) -> None:
    account = new_name()
    assert office.load(account).new == 1
    (row,) = Subscriber.objects.values()
    loaded = office.load(account)
    assert (loaded.new, loaded.same, loaded.changed) == (0, 1, 0)
    assert list(Subscriber.objects.values()) == [row]
    assert not OldContact.objects.exists()


def test_the_old_contact_hears_of_the_change_and_of_nothing_after(office: Office) -> None:
    account = new_name()
    office.load(account)
    loaded = office.load_lines(HEAD, f"{account},email,new@example.net\n".encode())
    assert loaded.changed == 1
    office.look()
    (message,) = office.sink.to(address_of(account))
    assert "changed" in message["Subject"]
    assert "new@example.net" not in message.as_string()
    assert office.sink.to("new@example.net") == []
    assert not OldContact.objects.exists()

    office.answer(account)
    office.look()
    assert len(office.sink.to(address_of(account))) == 1
    assert len(office.sink.to("new@example.net")) == 1


def test_an_old_contact_that_takes_no_mail_is_forgotten_after_a_week(office: Office) -> None:
    account = new_name()
    office.load(account)
    office.load_lines(HEAD, f"{account},email,new@example.net\n".encode())
    office.sink.refuse = True
    office.deliver()
    assert OldContact.objects.get().attempts == 1
    office.deliver(later(days=8))
    assert not OldContact.objects.exists()


def test_a_closed_account_gets_no_message_and_stays_owed(office: Office) -> None:
    account = new_name()
    office.load(account)
    office.answer(account)
    office.close(account)
    assert office.look() == 0
    assert office.sink.to(address_of(account)) == []
    assert office.notice(account).why == "no-contact"
    assert len(office.owed_at_keepers(account)) == 4
    row = Subscriber.objects.get()
    assert (row.sealed, row.contact_mac) == (None, None)
    with pytest.raises(NoSubscriber):
        office.close(account)


def test_a_contact_that_is_loaded_late_is_told_at_once(office: Office) -> None:
    account = new_name()
    office.answer(account)
    office.look()
    assert office.notice(account).next_attempt_at > utc_now() + timedelta(seconds=30)
    office.load(account, now=utc_now())
    assert office.look() == 1


def test_whoever_has_the_account_now_hears_nothing_of_the_one_before(office: Office) -> None:
    account = new_name()
    office.load(account)
    office.answer(account)  # asks about hours that were the first one's
    office.close(account)
    office.load_lines(HEAD, f"{account},email,second@example.net\n".encode(), now=later(hours=1))
    assert office.look(later(hours=2)) == 0
    assert office.sink.messages == []
    assert office.notice(account).why == "before-this-subscriber"
    assert len(office.owed_at_keepers(account)) == 4


def test_a_contact_moved_to_another_row_opens_nowhere(office: Office) -> None:
    victim, thief = new_name(), new_name()
    office.load(victim, thief)
    keys = office.keys.lookup
    sealed = Subscriber.objects.get(lookup=keys.find(TENANT, thief)).sealed
    Subscriber.objects.filter(lookup=keys.find(TENANT, victim)).update(sealed=sealed)
    office.answer(victim)
    assert office.look() == 0
    assert office.notice(victim).why == "contact-does-not-open"
    assert office.sink.messages == []


def test_a_leaf_moved_to_another_row_is_fetched_anew(office: Office) -> None:
    one, two = new_name(), new_name()
    office.load(one, two)
    office.answer(one)
    office.answer(two)
    office.pull()
    first, second = office.leaves(one)[0], office.leaves(two)[0]
    second.sealed = first.sealed
    second.save()
    assert office.deliver() == 1
    assert office.notice(two).why == "leaf-does-not-open"
    Notice.objects.update(next_attempt_at=utc_now())
    assert office.look() == 1
    assert office.owed_at_keepers(two) == []


def test_nothing_in_the_database_says_who_anybody_is(office: Office) -> None:
    account, contact = "zoe-who-must-not-be-found", "zoe-mailbox@example.net"
    office.load_lines(HEAD, f"{account},email,{contact}\n".encode())
    office.load_lines(HEAD, f"{account},email,other-{contact}\n".encode())
    office.answer(account)
    office.look()
    assert len(office.sink.to(f"other-{contact}")) == 1
    held = everything(office)
    for secret in (account, contact, "other-zoe", "authorisation"):
        assert secret.encode() not in held
        assert secret.encode().hex().encode() not in held
    # The search can find: a lookup is there as it stands.
    assert office.keys.lookup.find(TENANT, account).hex().encode() in held


def everything(office: Office) -> bytes:
    """Every row of every table, as text; bytea is hex there."""
    found = []
    with psycopg.connect(office.database.url("admin")) as admin:
        tables = admin.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        for (table,) in tables:
            found += [row[0] for row in admin.execute(f'SELECT t::text FROM "{table}" AS t')]
    return "\n".join(found).encode()


def test_the_command_names_file_and_line_and_loads_the_others(
    office: Office, tmp_path: Path
) -> None:
    write_secret(tmp_path / "lookup.key", office.keys.lookup.raw.hex().encode())
    public = PublicKey("recipient", "n", office.keys.opening.public_bytes())
    (tmp_path / "notifier.json").write_bytes(dump(public.to_object()))
    path, account = tmp_path / "subscribers.csv", new_name()
    path.write_bytes(HEAD + f"{account},email,one@example.net\n".encode() + b"needle,fax,needle\n")
    out, err = StringIO(), StringIO()
    with override_settings(SECRETS=tmp_path, NOTIFIER_KEY=tmp_path / "notifier.json"):
        call_command("subscribers", "load", TENANT, str(path), stdout=out, stderr=err)
        assert err.getvalue() == f"{path}: line 3: channel: only email\n"
        assert "1 new" in out.getvalue()
        assert "1 line(s) not taken" in out.getvalue()
        path.write_bytes(b"needle\n")
        with pytest.raises(CommandError, match=f"{path}: the first line must be: account,"):
            call_command("subscribers", "load", TENANT, str(path), stdout=out, stderr=err)
        with pytest.raises(CommandError, match=r"nothing: No such file.*: name a file"):
            call_command("subscribers", "load", TENANT, str(tmp_path / "nothing"), stdout=out)
    assert Subscriber.objects.count() == 1


def plant(office: Office, victim: str, account: str, contact: str) -> None:
    """As who writes PostgreSQL can: the public key seals anything to the notifier."""
    lookup = office.keys.lookup.find(TENANT, victim)
    public = office.keys.opening.public_bytes()
    sealed = Contact(account, "email", contact).seal(TENANT, lookup, public)
    Subscriber.objects.filter(lookup=lookup).update(sealed=sealed)


def test_a_contact_that_nobody_loaded_gets_no_message_and_no_code(office: Office) -> None:
    victim, thief = new_name(), new_name()
    office.load(victim, thief)
    office.answer(victim)
    sign_in.ask(
        TENANT, victim, "192.0.2.1", office.keys.lookup, office.keys.opening.public_bytes(),
        office.now,
    )  # fmt: skip
    plant(office, victim, victim, "thief@example.net")
    assert office.look() == 0
    # With the mark of the thief's own row, which is a true one.
    lookup = office.keys.lookup.find
    mark = Subscriber.objects.get(lookup=lookup(TENANT, thief)).contact_mac
    Subscriber.objects.filter(lookup=lookup(TENANT, victim)).update(contact_mac=mark)
    plant(office, victim, thief, address_of(thief))
    Notice.objects.update(next_attempt_at=utc_now())
    assert office.look() == 0
    assert office.sink.messages == []
    assert office.notice(victim).why == "contact-does-not-open"
    assert len(office.owed_at_keepers(victim)) == 4
    # The provider's file, loaded again, mends it.
    assert office.load(victim, now=utc_now()).changed == 1
    office.look()
    assert len(office.sink.to(address_of(victim))) == 1
    assert office.owed_at_keepers(victim) == []


@pytest.mark.parametrize(
    "contact",
    [
        "zoë@example.net",
        "a@b, c@d",
        "=?utf-8?q?a=0Ab?=@c",
        "=?utf-8?q??=@c",
        "._.~aaZ~^Z*Z`a+`*%{#={`Z%&.|Z/Z&_+'$=a=^@c",
        "a..b@c",
        "a.@c",
        "a" * 65 + "@c",
    ],
)
def test_what_is_no_address_stops_no_other_message(office: Office, contact: str) -> None:
    victim, other = new_name(), new_name()
    office.load(victim)
    plant(office, victim, victim, contact)
    lookup = office.keys.lookup.find(TENANT, victim)
    sealed = Subscriber.objects.get(lookup=lookup).sealed
    OldContact.objects.create(
        tenant_id=TENANT, lookup=lookup, sealed=sealed, replaced_at=office.now,
        next_attempt_at=office.now,
    )  # fmt: skip
    office.load(other)
    office.answer(other)
    assert office.look() == 1
    assert [to for _, to, _ in office.sink.messages] == [address_of(other)]
