"""One-time codes: once, in time, in the browser that asked, a few tries, a few an hour."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from django.db import connection, connections, transaction

from icrstore.notices import deliver, sign_in
from icrstore.notices.models import Session, SignIn
from icrstore.notices.sign_in import NotSignedIn, TooMany
from icrstore.wire import hpke
from tests.keeper.papers import TENANT, utc_now
from tests.notices.office import Office, address_of, later, new_name
from tests.vault.rooms import add_tenant

HOME = "192.0.2.1"


def ask(office: Office, account: str, address: str = HOME, now: datetime | None = None) -> str:
    office.database.use("web")
    try:
        public = office.keys.opening.public_bytes()
        return sign_in.ask(TENANT, account, address, office.keys.lookup, public, now or utc_now())
    finally:
        office.database.use("admin")


def enter(
    office: Office, account: str, browser: str, code: str, now: datetime | None = None,
    tenant: str = TENANT,
) -> str:  # fmt: skip
    office.database.use("web")
    try:
        return sign_in.enter(tenant, account, browser, code, office.keys.lookup, now or utc_now())
    finally:
        office.database.use("admin")


def code_of(office: Office, account: str) -> str:
    """The code in the last message, as a person would copy it."""
    office.deliver(later(seconds=1))  # the page's clock has microseconds, ours has none
    codes = [one for one in office.sink.to(address_of(account)) if "code" in one["Subject"]]
    line: str = next(line for line in codes[-1].get_content().splitlines() if "code is" in line)
    return line.rpartition("is ")[2]


def refuses(office: Office, account: str, browser: str, code: str, **changed: object) -> bool:
    with pytest.raises(NotSignedIn):
        enter(office, account, browser, code, **changed)  # type: ignore[arg-type]
    return True


@pytest.fixture
def account(office: Office) -> str:
    made = new_name()
    office.load(made)
    return made


def test_the_code_that_came_signs_in_once(office: Office, account: str) -> None:
    browser = ask(office, account)
    code = code_of(office, account)
    assert len("".join(code.split())) == 8
    token = enter(office, account, browser, code)
    reader = sign_in.signed_in(TENANT, token, utc_now())
    assert reader.lookup == office.keys.lookup.find(TENANT, account)
    assert reader.access == office.keys.lookup.access(TENANT, account)
    assert refuses(office, account, browser, code)


def test_it_refuses_another_browser_account_tenant_and_a_later_hour(
    office: Office, account: str
) -> None:
    other = new_name()
    office.load(other)
    office.database.use("admin")
    add_tenant("second", bytes(32))
    browser, code = ask(office, account), code_of(office, account)
    assert refuses(office, account, "another", code)
    assert refuses(office, other, browser, code)
    assert refuses(office, account, browser, code, tenant="second")
    late = utc_now() + timedelta(minutes=10, seconds=1)
    assert refuses(office, account, browser, code, now=late)
    assert enter(office, account, browser, code)


def test_after_five_tries_even_the_right_code_is_worth_nothing(
    office: Office, account: str
) -> None:
    browser, code = ask(office, account), code_of(office, account)
    for _ in range(5):
        assert refuses(office, account, browser, "00000000")
    assert refuses(office, account, browser, code)


def test_a_second_code_does_not_bring_back_the_first(office: Office, account: str) -> None:
    first, code = ask(office, account), code_of(office, account)
    second = ask(office, account)
    assert refuses(office, account, second, code)
    assert enter(office, account, first, code)


def test_two_that_bring_the_right_code_at_once_get_one_session(
    office: Office, account: str
) -> None:
    browser, code = ask(office, account), code_of(office, account)
    office.database.use("web")

    def attempt(_: int) -> bool:
        try:
            sign_in.enter(TENANT, account, browser, code, office.keys.lookup, utc_now())
        except NotSignedIn:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(attempt, range(4))) == [False, False, False, True]


def test_an_account_gets_five_codes_an_hour_even_at_once(office: Office, account: str) -> None:
    office.database.use("web")
    public = office.keys.opening.public_bytes()

    def attempt(number: int) -> bool:
        try:
            network = f"198.51.{number}.1"
            sign_in.ask(TENANT, account, network, office.keys.lookup, public, utc_now())
        except TooMany:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(attempt, range(8))) == [False] * 3 + [True] * 5
    office.database.use("admin")
    ask(office, account, now=utc_now() + timedelta(hours=1, minutes=1))


def test_a_network_gets_thirty_codes_an_hour_and_a_home_has_one_network(office: Office) -> None:
    for number in range(30):
        ask(office, new_name(), f"2001:db8::{number + 1:x}")
    with pytest.raises(TooMany):
        ask(office, new_name(), "2001:db8::ffff")
    ask(office, new_name(), "2001:db8:0:1::1")


def test_nobodys_account_is_answered_alike_and_nothing_is_sent(office: Office) -> None:
    browser = ask(office, new_name())
    assert len(browser) > 30
    assert office.deliver() == 0
    assert office.sink.messages == []
    assert SignIn.objects.get().is_sent


def test_a_closed_account_and_a_changed_contact_end_what_was_signed_in(
    office: Office, account: str
) -> None:
    for end in ("change", "close"):
        browser = ask(office, account)
        token = enter(office, account, browser, code_of(office, account))
        assert sign_in.signed_in(TENANT, token, utc_now())
        if end == "close":
            office.close(account)
        else:
            line = f"{account},email,{account}@elsewhere.example\n".encode()
            office.load_lines(b"account,channel,contact\n", line)
            office.load(account)  # and back, for the next round
        with pytest.raises(NotSignedIn):
            sign_in.signed_in(TENANT, token, utc_now())
        assert not Session.objects.exists()
        assert not SignIn.objects.exists()


def test_whoever_has_the_account_next_is_not_signed_in_by_the_one_before(
    office: Office, account: str
) -> None:
    token = enter(office, account, ask(office, account), code_of(office, account))
    office.close(account)
    office.load(account)
    with pytest.raises(NotSignedIn):
        sign_in.signed_in(TENANT, token, utc_now())


def test_a_session_ends_by_itself_and_when_left(office: Office, account: str) -> None:
    token = enter(office, account, ask(office, account), code_of(office, account))
    late = utc_now() + timedelta(minutes=31)
    with pytest.raises(NotSignedIn):
        sign_in.signed_in(TENANT, token, late)
    for wrong in ("", token[:-1], token + "x"):
        with pytest.raises(NotSignedIn):
            sign_in.signed_in(TENANT, wrong, utc_now())
    sign_in.sweep(late)
    assert not Session.objects.exists()
    assert SignIn.objects.exists()
    sign_in.sweep(utc_now() + timedelta(hours=2))
    assert not SignIn.objects.exists()


def test_a_session_row_opens_nothing_without_its_cookie(office: Office, account: str) -> None:
    token = enter(office, account, ask(office, account), code_of(office, account))
    victim = new_name()
    office.load(victim)
    row = Session.objects.get()
    # Whoever writes the database gives a session another's name: the key in it stays the first's.
    office.database.use("admin")
    Session.objects.update(lookup=office.keys.lookup.find(TENANT, victim))
    with pytest.raises(NotSignedIn):
        sign_in.signed_in(TENANT, token, utc_now())
    assert office.keys.lookup.access(TENANT, account) not in bytes(row.sealed)


def test_who_signs_in_while_the_contact_changes_is_out_once_it_has(
    office: Office, account: str
) -> None:
    browser, code = ask(office, account), code_of(office, account)

    def change() -> None:
        try:
            head, line = b"account,channel,contact\n", f"{account},email,new@example.net\n"
            office.load_lines(head, line.encode())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            now, lookup = utc_now(), office.keys.lookup
            token = sign_in.enter(TENANT, account, browser, code, lookup, now)
            changing = pool.submit(change)
            while not _waits_for_a_row():
                assert not changing.done()
        changing.result()
    with pytest.raises(NotSignedIn):
        sign_in.signed_in(TENANT, token, utc_now())


def _waits_for_a_row() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])


def test_a_code_that_is_no_code_is_not_sent(office: Office, account: str) -> None:
    """Web seals what is sent: who takes it over writes no message of their own."""
    ask(office, account)
    lookup = office.keys.lookup.find(TENANT, account)
    for sealed in (b"call 0900 123456", b"1234567", b"\xff" * 8):
        SignIn.objects.update(is_sent=False, claim=None, sealed=hpke.seal(
            office.keys.opening.public_bytes(), sign_in.code_info(TENANT, lookup), sealed
        ))  # fmt: skip
        office.deliver(later(seconds=1))
        assert SignIn.objects.get().is_sent
    assert office.sink.messages == []


def test_networks_are_told_apart_however_the_address_is_written() -> None:
    network = sign_in._network
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") != network("::ffff:192.0.2.2")
    assert network("2001:db8::1") == network("2001:db8::2") != network("2001:db8:0:1::1")


def test_whoever_asks_for_codes_without_end_holds_up_no_notice(
    office: Office, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        ask(office, account)
    monkeypatch.setattr(deliver, "LOOK_SECONDS", 0.0)
    notifier = deliver.Delivery(office.keys, office.mail, "https://isp.example/access/")
    assert notifier.send_codes(later(seconds=1)) == 0
    assert not SignIn.objects.filter(is_sent=True).exists()
    # Nor in the part of a look that is the notices'.
    monkeypatch.undo()
    office.answer(account)
    office.pull()
    office.deliver(later(seconds=1))
    told = [one["Subject"] for one in office.sink.to(address_of(account))]
    assert told == ["A new entry in your access record", *2 * ["Your sign-in code"]]
