"""Who writes the tables keeps no telling away: what is held is asked for again, from somewhere."""

from datetime import timedelta

import pytest

from icrstore.keeper.telling import sign_notice
from icrstore.notices import pull
from icrstore.notices.models import Notice, NoticeLeaf
from icrstore.seal.epoch import ROLES
from tests.keeper.papers import TENANT, utc_now
from tests.notices.office import Office, address_of, new_name


@pytest.fixture
def account(office: Office) -> str:
    """Asked about and named, and due at both keepers; pulled."""
    name = new_name()
    office.load(name)
    office.answer(name)
    office.pull()
    return name


def since(office: Office, account: str) -> dict[str, int]:
    """Each keeper's number before its first debt of this account."""
    rows = office.leaves(account)
    return {role: min(row.number for row in rows if row.role == role) - 1 for role in ROLES}


def is_told_once(office: Office, account: str) -> None:
    assert office.look() == 1
    assert len(office.sink.to(address_of(account))) == 1
    assert office.owed_at_keepers(account) == []


def test_what_is_as_the_keepers_say_is_left_alone(office: Office, account: str) -> None:
    before = list(NoticeLeaf.objects.order_by("id").values())
    assert office.recheck(since(office, account)) == 0
    office.look()
    assert office.recheck(since(office, account)) == 0
    assert [row["id"] for row in before] == list(
        NoticeLeaf.objects.order_by("id").values_list("id", flat=True)
    )


@pytest.mark.parametrize("statement", [None, b"{}"])
def test_debts_that_somebody_marked_as_logged_are_told(
    office: Office, account: str, statement: bytes | None
) -> None:
    NoticeLeaf.objects.update(logged=True, statement=statement)
    assert office.look() == 0
    assert office.recheck(since(office, account)) == 4
    office.report()
    is_told_once(office, account)


def test_rows_written_before_their_debts_came_are_overwritten(office: Office) -> None:
    """A row at each number to come, made of another's: what is held seems to have no gap."""
    first, second = new_name(), new_name()
    office.load(first, second)
    office.answer(first)
    office.look()
    last: dict[str, int] = {role: pull.held(TENANT, role) for role in ROLES}
    for row in office.leaves(first):
        row.pk, row.number = None, last[row.role] + 1 + (row.number % 2)
        row.logged = True
        row.save()
    assert {role: pull.held(TENANT, role) - last[role] for role in ROLES} == dict.fromkeys(ROLES, 2)
    office.answer(second)
    assert office.look() == 0
    assert len(office.owed_at_keepers(second)) == 4
    assert office.recheck(last) == 4
    office.report()  # finds that the telling it was written with is of another leaf
    is_told_once(office, second)
    assert len(office.sink.to(address_of(first))) == 1


def test_rows_of_debts_that_no_keeper_owes_are_deleted(office: Office, account: str) -> None:
    office.look()
    row = office.leaves(account)[0]
    last: dict[str, int] = {role: pull.held(TENANT, role) for role in ROLES}
    row.pk, row.number = None, last[row.role] + 1
    row.save()
    assert office.recheck(last) == 1
    assert pull.held(TENANT, row.role) == last[row.role]
    assert office.recheck(last) == 0


@pytest.mark.parametrize(
    "changed",
    [{"leaf": 0}, {"is_disclosure": True}, {"sealed": b"x"}, {"owed_at": utc_now()}],
    ids=lambda changed: next(iter(changed)),
)
def test_a_row_altered_in_any_part_is_made_anew(
    office: Office, account: str, changed: dict[str, object]
) -> None:
    row = next(leaf for leaf in office.leaves(account) if not leaf.is_disclosure)
    whole = NoticeLeaf.objects.filter(pk=row.pk).values()[0]
    NoticeLeaf.objects.filter(pk=row.pk).update(**changed)
    assert office.recheck(since(office, account)) == 1
    mended = NoticeLeaf.objects.filter(pk=row.pk).values()[0]
    assert {**mended, "sealed": b""} == {**whole, "sealed": b""}
    is_told_once(office, account)


def test_a_debt_put_under_another_question_or_person_comes_back(
    office: Office, account: str
) -> None:
    other = new_name()
    office.answer(other)
    office.pull()
    elsewhere, first = office.notice(other), since(office, account)
    NoticeLeaf.objects.filter(notice=office.notice(account)).update(notice=elsewhere, logged=True)
    assert office.recheck(first) == 4
    is_told_once(office, account)


def test_each_look_asks_again_for_some(office: Office, account: str) -> None:
    NoticeLeaf.objects.update(logged=True)
    tellers = [office.pair.teller(role) for role in ROLES]
    for _ in range(200):
        pull.recheck_one(office.keys.lookup, tellers, utc_now())
        if not NoticeLeaf.objects.filter(notice=office.notice(account), logged=True).exists():
            break
    is_told_once(office, account)


@pytest.mark.parametrize("is_altered", [False, True])
def test_a_telling_of_what_stood_there_before_a_recovery_is_none_of_what_stands_there_now(
    office: Office, account: str, is_altered: bool
) -> None:
    """A keeper numbers leaves and debts anew from where its copy ends."""
    for row in office.leaves(account):
        before = sign_notice(
            TENANT, row.leaf, "what stood there", "email", row.owed_at, office.keys.signing
        )
        row.statement = before.encode()
        row.sealed = b"of before" if is_altered else row.sealed
        row.save()
    assert office.look() == 0
    assert len(office.owed_at_keepers(account)) == 4
    assert office.recheck(since(office, account)) == 4
    is_told_once(office, account)


@pytest.mark.parametrize("field", ["next_attempt_at", "newest_leaf_at"])
def test_a_time_that_nobody_of_us_wrote_puts_nothing_off(
    office: Office, account: str, field: str
) -> None:
    # Without a disclosure at one keeper it is told once nothing came for a while.
    NoticeLeaf.objects.filter(role="operator").update(is_disclosure=False)
    Notice.objects.update(newest_leaf_at=utc_now() - timedelta(minutes=16))
    Notice.objects.update(**{field: utc_now() + timedelta(days=365)})
    is_told_once(office, account)


@pytest.mark.parametrize("years", [1, -1])
def test_by_a_notifiers_clock_that_is_wrong_nobody_is_told_early_or_never(
    office: Office, years: int
) -> None:
    """Early would be before both logs hold the question; lost, what is not in them afterwards."""
    account, wrong = new_name(), utc_now() + timedelta(days=365 * years)
    office.load(account)
    question = office.pair.question(office.warrant_about(account))
    office.pair.keepers().commit(question)
    assert office.look(wrong) == 0
    office.pair.run(question)
    office.pair.keepers().disclose(question, office.pair.disclosure(question, account))
    assert office.look(wrong) == 1
    assert len(office.owed_at_keepers(account)) == 4
    # What it says of when is refused; set right, it says so again, and tells nobody twice.
    office.look()
    office.look()
    assert len(office.sink.to(address_of(account))) == 1
    assert office.owed_at_keepers(account) == []
