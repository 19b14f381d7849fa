"""Everybody who was named is told, once, and the keepers' logs say so."""

import json
import re
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.keeper.telling import sign_notice
from icrstore.notices import report
from icrstore.notices.models import Notice, NoticeLeaf
from icrstore.seal.epoch import ROLES
from tests.keeper.papers import AUTHORITY, TENANT, utc_now
from tests.notices.office import Office, address_of, later, new_name


def test_who_was_named_gets_one_message_and_every_leaf_a_notice(office: Office) -> None:
    account = new_name()
    office.load(account)
    office.answer(account)
    assert office.owed_at_keepers(account) == ["release", "disclosure"] * 2

    assert office.look() == 1

    assert len(office.sink.to(address_of(account))) == 1
    assert [leaf.logged for leaf in office.leaves(account)] == [True] * 4
    assert office.owed_at_keepers(account) == []
    assert office.look() == 0
    assert len(office.sink.to(address_of(account))) == 1


def test_the_message_says_nothing_of_what_was_asked(office: Office) -> None:
    account = "zoe"
    office.load(account)
    question = office.answer(account)
    office.look()
    (message,) = office.sink.to(address_of(account))
    body = message.get_content()
    told = body + str(message["Subject"]) + str(message["From"])
    assert "https://isp.example/access/demo" in body
    assert body.count("http") == 1
    assert not re.search(r"\d", told)
    for secret in (AUTHORITY, "police", "warrant", "authorisation", account, "services",
                   question.request.sha256.hex()[:8]):  # fmt: skip
        assert secret.lower() not in told.lower()
    assert message["Auto-Submitted"] == "auto-generated"


def test_shares_that_were_lent_are_told_of_though_no_answer_names_anybody(office: Office) -> None:
    account = new_name()
    office.load(account)
    office.ask(account)
    # The engine may still be at work: one message, not two.
    assert office.look() == 0
    assert office.look(later(minutes=16)) == 1
    assert {leaf.is_disclosure for leaf in office.leaves(account)} == {False}
    assert office.owed_at_keepers(account) != []  # that clock is ahead: the keepers refuse it


def test_a_disclosure_that_comes_after_the_message_is_told_too(office: Office) -> None:
    account = new_name()
    office.load(account)
    lent = office.ask(account)
    office.pull()
    Notice.objects.update(newest_leaf_at=utc_now() - timedelta(minutes=16))
    assert office.look() == 1
    assert office.owed_at_keepers(account) == []
    office.pair.keepers().disclose(
        lent.question, office.pair.disclosure(lent.question, account)
    )  # fmt: skip
    assert office.look() == 1
    first, second = office.sink.to(address_of(account))
    assert first["Message-ID"] != second["Message-ID"]
    assert office.owed_at_keepers(account) == []


def test_everyone_of_a_question_is_told_alone(office: Office) -> None:
    accounts = [new_name() for _ in range(3)]
    office.load(*accounts)
    office.answer(*accounts)
    assert office.look() == 3
    for account in accounts:
        (message,) = office.sink.to(address_of(account))
        assert message["To"] == address_of(account)
        assert not any(other in message.as_string() for other in accounts if other != account)


def test_all_rows_deleted_the_debts_return(office: Office) -> None:
    told, untold = new_name(), new_name()
    office.load(told)
    office.answer(told)
    office.look()
    office.answer(untold)
    office.look()
    before, told_at = rows(office, told), office.notice(told).delivered_at
    owed = rows(office, untold)
    assert [row[-1] for row in (*before, *owed)] == [True] * 4 + [False] * 4

    Notice.objects.all().delete()
    assert not NoticeLeaf.objects.exists()
    office.pull()
    # Every one as it was: what was told as told and when, what is owed as owed.
    assert (rows(office, told), rows(office, untold)) == (before, owed)
    assert office.notice(told).delivered_at == told_at
    assert office.notice(untold).delivered_at is None
    office.load(untold)

    assert office.look() == 1
    assert len(office.sink.to(address_of(told))) == 1  # the keepers know that they were
    assert len(office.sink.to(address_of(untold))) == 1
    assert office.owed_at_keepers(untold) == []
    assert office.owed_at_keepers(told) == []


def rows(office: Office, account: str) -> list[tuple[object, ...]]:
    """All that a row says of its debt; the last is whether its telling was logged."""
    return [
        (leaf.role, leaf.number, leaf.leaf, leaf.is_disclosure, leaf.is_proven, leaf.owed_at,
         leaf.logged)
        for leaf in office.leaves(account)
    ]  # fmt: skip


def test_one_row_deleted_comes_back_from_the_first_gap(office: Office) -> None:
    account = new_name()
    office.answer(account)
    office.pull()
    rows = NoticeLeaf.objects.count()
    victim = office.leaves(account)[0]
    NoticeLeaf.objects.filter(id=victim.id).delete()
    office.pull()
    assert NoticeLeaf.objects.count() == rows
    assert (victim.role, victim.number) in {(x.role, x.number) for x in office.leaves(account)}


def test_a_telling_that_somebody_wrote_into_the_database_is_no_telling(office: Office) -> None:
    account = new_name()
    office.load(account)
    office.answer(account)
    office.pull()
    for statement in (lambda _: b"{}", lambda _: b"told", signed_by_a_stranger):
        for leaf in office.leaves(account):
            NoticeLeaf.objects.filter(id=leaf.id).update(statement=statement(leaf))
        Notice.objects.update(delivered_at=utc_now())
        assert office.report() == 0
        assert len(office.owed_at_keepers(account)) == 4
    assert office.look() == 1
    assert office.owed_at_keepers(account) == []


def signed_by_a_stranger(leaf: NoticeLeaf) -> bytes:
    key = Ed25519PrivateKey.generate()
    return sign_notice(leaf.tenant_id, leaf.leaf, "", "outbox", utc_now(), key).encode()


def test_a_debt_marked_as_logged_stays_one_at_the_keepers(office: Office) -> None:
    account = new_name()
    office.load(account)
    office.answer(account)
    office.pull()
    NoticeLeaf.objects.update(logged=True)
    assert office.look() == 0
    assert len(office.owed_at_keepers(account)) == 4


def test_another_leafs_telling_is_no_telling(office: Office) -> None:
    first, second = new_name(), new_name()
    office.load(first)
    office.answer(first)
    office.pull()
    office.deliver()
    statement = office.leaves(first)[0].statement
    office.load(second)
    office.answer(second)
    office.pull()
    NoticeLeaf.objects.filter(notice=office.notice(second)).update(statement=statement)
    office.report()
    assert len(office.owed_at_keepers(second)) == 4
    # It is thrown away, and who is owed is told after all.
    assert office.look() == 1
    assert office.owed_at_keepers(second) == []


def test_what_is_owed_and_overdue_is_counted_here_and_by_the_keepers(office: Office) -> None:
    account = new_name()
    before = report.owed(TENANT, utc_now())
    office.answer(account)
    office.pull()
    office.deliver()
    now = report.owed(TENANT, utc_now())
    assert now.owed > before.owed
    assert now.why["no-contact"] >= 1
    assert now.overdue == 0
    late = report.owed(TENANT, later(hours=25))
    assert late.overdue == late.owed == now.owed
    for role in ROLES:
        assert office.pair.show(role)["tenants"][0]["notices_owed"] > 0
        assert office.pair.show(role)["tenants"][0]["notices_overdue"] == 0


def test_each_telling_is_a_leaf_with_how_and_when(office: Office) -> None:
    account = new_name()
    office.load(account)
    office.answer(account)
    office.look()
    for role in ROLES:
        debts, after = [], 0
        while page := office.pair.teller(role).due(TENANT, after):
            debts += [debt for debt in page if debt.account == account]
            after = page[-1].number
        for debt in debts:
            assert debt.notice is not None
            said = json.loads(debt.notice.private)
            assert (said["told_leaf"], said["channel"]) == (debt.leaf.index, "email")
            assert account not in debt.notice.private
