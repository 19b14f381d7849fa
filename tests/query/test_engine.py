"""From lodged statements to a sealed answer: real keepers and PostgreSQL, an engine called here."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection

from icrstore.inbox.models import Batch
from icrstore.query.lodge import NotLodged, lodge_request
from icrstore.query.models import LodgedWarrant, Query
from icrstore.query.run import _question
from icrstore.seal.epoch import HOUR, ROLES, hour_start
from icrstore.seal.manifest import Manifest
from icrstore.vault.models import Epoch
from icrstore.vault.sealer import seal_waiting
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import EpochStatement
from icrstore.warrant.statements import AccountSelector, HourRange
from tests.keeper.papers import ACCOUNT
from tests.query.asking import STORAGE, Office, coverage, lasting, office
from tests.vault.rooms import Database, record

__all__ = ["lasting", "office"]


def test_an_answer_has_each_distinct_record_once_and_every_hour(office: Office) -> None:
    answer = office.ask()
    assert (answer["records"], answer["collapsed"]) == (4, 4)
    assert coverage(answer) == ["COMPLETE"] * 4
    assert [service["records"] for service in answer["services"]] == [4]


@pytest.mark.parametrize(("selectors", "records"), [(1, 1 << 18), (3, 1 << 18), (500, 1), (7, 3)])
def test_an_answer_is_the_same_however_little_is_read_at_a_time(
    office: Office, monkeypatch: pytest.MonkeyPatch, selectors: int, records: int
) -> None:
    monkeypatch.setattr("icrstore.query.scope.GROUP_SELECTORS", selectors)
    monkeypatch.setattr("icrstore.query.opening.PART_RECORDS", records)
    answer = office.ask(40)
    assert (answer["records"], coverage(answer)) == (4, ["COMPLETE"] * 40)


def last_epoch(office: Office) -> Epoch:
    return Epoch.objects.get(hour=office.rooms.hour)


def drop_row(office: Office) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM vault_segment WHERE epoch_no = %s", [last_epoch(office).id])


def drop_epoch(office: Office) -> None:
    epoch = last_epoch(office)
    epoch.seals.all().delete()
    epoch.delete()


def forge_statement(office: Office) -> None:
    other = Epoch.objects.get(hour=office.rooms.hour - HOUR)
    Epoch.objects.filter(id=last_epoch(office).id).update(statement=other.statement)


def rewrite_epoch(office: Office) -> None:
    """Its rows are gone; manifest and statement fit each other, and say that it never had any."""
    epoch, none = last_epoch(office), Manifest(b"")
    said = EpochStatement.parse(Envelope.parse(bytes(epoch.statement), "epoch"))
    forged = replace(said, rows=0, manifest_root=none.root)
    signed = Envelope.sign("epoch", forged.to_fields(), Ed25519PrivateKey.generate())
    Epoch.objects.filter(id=epoch.id).update(statement=signed.encode(), rows=0)
    drop_manifest(office)
    drop_row(office)


def break_statement(office: Office) -> None:
    Epoch.objects.filter(id=last_epoch(office).id).update(statement=b"{")


def write_manifest(office: Office, what: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"{what} WHERE epoch_no = %s", [last_epoch(office).id])


def drop_manifest(office: Office) -> None:
    write_manifest(office, "DELETE FROM vault_bucket")


def shorten_manifest(office: Office) -> None:
    write_manifest(office, "UPDATE vault_bucket SET leaf = substring(leaf FROM 33)")


def cut_manifest(office: Office) -> None:
    write_manifest(office, "UPDATE vault_bucket SET leaf = substring(leaf FROM 2)")


def empty_manifest(office: Office) -> None:
    write_manifest(office, "UPDATE vault_bucket SET leaf = '', path = ''")


def lengthen_path(office: Office) -> None:
    write_manifest(office, "UPDATE vault_bucket SET path = sha256('') || sha256('')")


def cut_path(office: Office) -> None:
    write_manifest(office, "UPDATE vault_bucket SET path = '\\x00'")


def renumber_bucket(office: Office) -> None:
    write_manifest(office, "UPDATE vault_bucket SET number = -1")


def hide_bucket(office: Office) -> None:
    write_manifest(office, "UPDATE vault_bucket SET begins = decode(repeat('ff', 16), 'hex')")


def move_to_other_tenant(office: Office) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO accounts_tenant VALUES ('thief', '', 1, false, now())")
    Epoch.objects.filter(id=last_epoch(office).id).update(tenant="thief")


def swap_bodies(office: Office) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE vault_segment SET body = (SELECT body FROM vault_segment WHERE epoch_no <> %s"
            " LIMIT 1) WHERE epoch_no = %s",
            [last_epoch(office).id] * 2,
        )


@pytest.mark.parametrize(
    ("attack", "named"),
    [(drop_row, "a row is missing"), (drop_epoch, "it is not in the store"),
     (forge_statement, "its statement is not the one that the keepers logged"),
     (rewrite_epoch, "its statement is not the one that the keepers logged"),
     (break_statement, "its statement is none"),
     *((attack, "its manifest is not the one of its statement")
       for attack in (drop_manifest, shorten_manifest, cut_manifest, empty_manifest, lengthen_path,
                      cut_path, renumber_bucket, hide_bucket)),
     (move_to_other_tenant, "it is not in the store"),
     (swap_bodies, "a row is not the one sealed")],
)  # fmt: skip
def test_who_writes_the_database_cannot_shorten_an_answer_unseen(
    office: Office, attack: Callable[[Office], None], named: str
) -> None:
    eid = bytes(last_epoch(office).eid).hex()
    attack(office)
    answer = office.ask()
    assert coverage(answer) == ["COMPLETE"] * 3 + ["INCOMPLETE"]
    assert answer["hours"][3]["why"] == [f"epoch {eid}: {named}"]
    assert answer["records"] == 3


def test_what_the_database_says_of_an_epochs_hour_and_month_changes_no_answer(
    office: Office,
) -> None:
    """Where its rows are, the keepers' lists say."""
    Epoch.objects.filter(id=last_epoch(office).id).update(month=200001, rows=99, shard=7)
    answer = office.ask()
    assert (coverage(answer), answer["records"]) == (["COMPLETE"] * 4, 4)


def test_a_batch_that_waits_shows_in_every_hour_of_its_scope(office: Office) -> None:
    rooms = office.rooms
    rooms.take_records([], first_hour=rooms.hour - HOUR, last_hour=rooms.hour)
    answer = office.ask()
    assert coverage(answer) == ["COMPLETE"] * 2 + ["UNSEALED"] * 2
    office.seal()
    assert coverage(office.ask()) == ["COMPLETE"] * 4


def test_an_urgent_question_waits_a_little_for_what_it_hurries(office: Office) -> None:
    rooms = office.rooms
    this_hour, asked = hour_start(rooms.now), rooms.hour - 30 * HOUR
    rooms.take_records([record(asked, ACCOUNT)], first_hour=asked, last_hour=asked)
    rooms.take_records([], first_hour=asked, last_hour=asked + HOUR)
    rooms.take_records([], first_hour=rooms.hour, last_hour=this_hour)
    query = office.put(office.lodge(), hours=(HourRange(asked, asked + HOUR),), urgent=True)
    assert office.run() == 0
    office.seal()
    assert office.run() == 1
    answer = office.answer(query)
    assert (answer["records"], coverage(answer)) == (1, ["COMPLETE"])


def test_an_urgent_question_does_not_wait_for_ever(office: Office) -> None:
    rooms = office.rooms
    rooms.take_records([], first_hour=rooms.hour, last_hour=hour_start(rooms.now))
    asked = HourRange(rooms.hour, rooms.hour + HOUR)
    query = office.put(office.lodge(), hours=(asked,), urgent=True)
    assert office.run() == 0
    Query.objects.update(created_at=rooms.now - timedelta(seconds=31))
    assert office.run() == 1
    assert coverage(office.answer(query)) == ["UNSEALED"]


def test_an_urgent_question_holds_up_no_other(office: Office) -> None:
    rooms = office.rooms
    rooms.take_records([], first_hour=rooms.hour, last_hour=hour_start(rooms.now))
    warrant = office.lodge()
    office.put(warrant, urgent=True)
    other = office.put(warrant)
    assert office.run() == 1
    assert office.answer(other)["records"] >= 4


def test_an_hour_that_has_not_ended_is_unsealed_though_some_of_it_is_sealed(
    office: Office,
) -> None:
    rooms, now = office.rooms, hour_start(office.rooms.now)
    rooms.take_records([record(now, ACCOUNT)], first_hour=now, last_hour=now)
    Batch.objects.update(urgent=True)
    office.seal()
    hours = HourRange(now - HOUR, now + HOUR)
    query = office.put(office.lodge(hours=hours), hours=(hours,))
    assert office.run() == 1
    answer = office.answer(query)
    assert (answer["records"], coverage(answer)) == (2, ["COMPLETE", "UNSEALED"])


def test_another_account_of_the_same_hour_is_not_in_the_answer(office: Office) -> None:
    hour = office.rooms.hour - 20 * HOUR
    office.rooms.take_records(
        [record(hour, "somebody-else"), record(hour, ACCOUNT)], first_hour=hour, last_hour=hour
    )
    office.seal()
    answer = office.ask(1, ago=20)
    assert (answer["records"], coverage(answer)) == (1, ["COMPLETE"])
    assert "somebody-else" not in json.dumps(answer)


def test_an_account_without_records_has_a_complete_answer_of_nothing(office: Office) -> None:
    selectors = (AccountSelector("nobody"),)
    query = office.put(office.lodge(selectors=selectors), selectors=selectors)
    office.run()
    answer = office.answer(query)
    assert (answer["records"], answer["services"], answer["accounts"]) == (0, [], ["nobody"])


def test_the_grants_of_web_and_engine_are_enough_for_a_query(
    database: Database, lasting: Office
) -> None:
    try:
        database.use("web")
        end = hour_start(lasting.rooms.now)
        query = lasting.put(lasting.lodge(), hours=(HourRange(end - HOUR, end),))
        database.use("engine")
        assert lasting.run() == 1
        database.use("web")
        assert lasting.answer(query)["records"] == 1
    finally:
        database.use("admin")


def test_what_was_lodged_is_refused_if_the_row_holds_something_else(office: Office) -> None:
    warrant = office.lodge()
    first, second = office.put(warrant), office.put(warrant)
    Query.objects.filter(id=first.id).update(sealed=second.sealed)
    LodgedWarrant.objects.update(sealed=bytes(2000))
    assert office.run() == 2
    for query in (first, second):
        query.refresh_from_db()
        assert (query.state, query.disclosure, query.share_key) == ("failed", None, None)
        assert query.keepers == [{"keeper": "engine", "code": "lodged-does-not-open"}]


def test_a_question_that_a_keeper_refuses_says_which_and_why(office: Office) -> None:
    warrant = office.lodge(max_requests=1)
    first, second = office.put(warrant), office.put(warrant)
    assert office.run() == 2
    for query in (first, second):
        query.refresh_from_db()
    assert (first.state, first.keepers) == ("answered", [])
    assert second.state == "refused"
    assert {said["keeper"] for said in second.keepers} == {"operator", "oversight"}
    assert len({said["code"] for said in second.keepers}) == 1
    assert (second.disclosure, second.share_key) == (None, None)


def test_an_engine_that_is_back_too_late_ends_the_query_with_both_keepers_word(
    office: Office,
) -> None:
    pair, query = office.rooms.pair, office.put(office.lodge())
    question, *_ = _question(query, office.keys, office.rooms.trust, office.rooms.now)
    pair.keepers().commit(question)
    # The engine died here, and is back after sixteen minutes.
    for role in ROLES:
        with pair.owner(role) as keeper, keeper.store.write() as tx:
            long_ago = "UPDATE request SET committed_at = committed_at - 960 WHERE sha256 = ?"
            tx.execute(long_ago, (question.request.sha256,))
    assert office.run() == 1
    query.refresh_from_db()
    said = [{"keeper": role, "code": "request-expired"} for role in ROLES]
    assert (query.state, query.keepers, query.disclosure) == ("refused", said, None)
    assert office.run() == 0


def test_lodging_asks_for_the_warrant_and_the_right_authority(office: Office) -> None:
    warrant = office.lodge()
    pair, rooms = office.rooms.pair, office.rooms
    request = pair.request(pair.request_of(warrant))
    put = (rooms.tenant, request, (), ["another"], STORAGE.public_bytes(), rooms.now)
    with pytest.raises(NotLodged):
        lodge_request(*put)
    unknown = pair.request(pair.request_of(warrant, warrant_sha256=bytes(32)))
    with pytest.raises(NotLodged):
        lodge_request(rooms.tenant, unknown, *put[2:])


def test_a_receipt_does_not_hide_a_batch_that_keepers_have_not_logged(office: Office) -> None:
    rooms = office.rooms
    rooms.take_records([record(rooms.hour, ACCOUNT, source_port=99)])
    seal_waiting(rooms.keys, rooms.days, rooms.now)
    assert Batch.objects.filter(state="sealed", sealed_receipt=None).count() == 1
    # Sealed here, known to no keeper: what nobody lends for is not sealed for an answer.
    answer = office.ask()
    assert (answer["records"], coverage(answer)[-1]) == (4, "UNSEALED")


def test_hours_are_told_in_utc(office: Office) -> None:
    hours = [datetime.fromisoformat(hour["hour"]) for hour in office.ask()["hours"]]
    end = hour_start(office.rooms.now)
    assert hours == [end - n * HOUR for n in (4, 3, 2, 1)]
