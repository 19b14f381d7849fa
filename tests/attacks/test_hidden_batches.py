"""A batch that was accepted and is kept from being sealed shows in each answer that it may reach.

Also where its row is gone: the numbers of its collector's stream say that it was there.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accounts.models import Tenant
from accounts.policies import add_backfill
from icrstore.inbox.accept import Label, accept
from icrstore.inbox.models import MOST_TRIES, Batch
from icrstore.query import waits
from icrstore.query.models import Query
from icrstore.query.run import _question
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.vault.accepted import unsealed
from icrstore.warrant.backfill import Backfill
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Receipt
from icrstore.warrant.statements import HourRange
from tests.keeper.papers import ACCOUNT, TENANT
from tests.query.asking import Office, lasting, office
from tests.vault.rooms import RECEIPT_KEY, ROOT, add_collector, record, sign_call

__all__ = ["lasting", "office"]


def push(office: Office, **changed: Any) -> Batch:
    """One more batch of the last hour, accepted as the office's own was."""
    return office.rooms.take_records([record(office.rooms.hour, ACCOUNT)], **changed)


def last_hour(answer: dict[str, Any]) -> tuple[str, list[str]]:
    return answer["hours"][-1]["coverage"], answer["hours"][-1].get("why", [])


def test_what_waits_is_named_with_its_collector_and_since_when(office: Office) -> None:
    batch = push(office)
    said = f"batch {batch.sequence} of collector edge-1 (stream main): not sealed, since "
    state, why = last_hour(office.ask())
    assert (state, len(why)) == ("UNSEALED", 1)
    assert why[0].startswith(said)


def missed(office: Office, ago: int = 0) -> list[str]:
    """Why the last whole hour, or one so many before it, is not complete by what was accepted."""
    hour, rooms = office.rooms.hour - ago * HOUR, office.rooms
    return [one.why for one in unsealed(TENANT, hour, hour, rooms.trust, rooms.now)]


def delete(batch: Batch) -> None:
    batch.delete()


def call_it_sealed(batch: Batch) -> None:
    Batch.objects.filter(id=batch.id).update(state="sealed", sealed_receipt=b"{}")


def give_it_anothers_receipt(batch: Batch) -> None:
    first = Batch.objects.order_by("id")[0]
    Batch.objects.filter(id=batch.id).update(state="sealed", sealed_receipt=first.sealed_receipt)


def move_its_hours_away(batch: Batch) -> None:
    hour = batch.first_hour - 40 * HOUR
    Batch.objects.filter(id=batch.id).update(first_hour=hour, last_hour=hour)


def date_it_away(batch: Batch) -> None:
    Batch.objects.update(accepted_at=batch.accepted_at - timedelta(days=30))


def give_it_to_another_stream(batch: Batch) -> None:
    Batch.objects.filter(id=batch.id).update(stream="other", sequence=1)


def put_a_copy_of_a_sealed_one_in_its_place(batch: Batch) -> None:
    first = Batch.objects.order_by("id")[0]
    batch.delete()
    Batch.objects.filter(id=first.id).update(sequence=batch.sequence)


def put_one_of_ones_own_in_its_place(batch: Batch) -> None:
    label, own = Label.of(batch), Ed25519PrivateKey.generate()
    now, hidden = batch.accepted_at, bytes(batch.body or b"")
    batch.delete()
    made, _ = accept(
        batch.collector, label, hidden, bytes(32), sign_call(label, hidden, own, now), own, now
    )
    Batch.objects.filter(id=made.id).update(state="sealed", first_hour=now - 99 * HOUR)
    Batch.objects.filter(id=made.id).update(last_hour=now - 99 * HOUR)


def call_it_poison(batch: Batch) -> None:
    Batch.objects.filter(id=batch.id).update(tries=MOST_TRIES)


DEEDS = (
    delete, call_it_sealed, call_it_poison, give_it_anothers_receipt, move_its_hours_away,
    date_it_away,
    give_it_to_another_stream, put_a_copy_of_a_sealed_one_in_its_place,
    put_one_of_ones_own_in_its_place,
)  # fmt: skip


@pytest.mark.parametrize("deed", DEEDS)
def test_a_batch_that_somebody_hides_leaves_no_hour_complete_that_it_reaches(
    office: Office, deed: Callable[[Batch], None]
) -> None:
    hidden, elsewhere = push(office), office.rooms.hour - 40 * HOUR
    push(office, first_hour=elsewhere, last_hour=elsewhere)  # the collector went on
    assert [why[:8] for why in missed(office)] == ["batch 2 "]
    deed(hidden)
    named = 3 if deed is date_it_away else hidden.sequence
    assert any(
        f"batch {named} of collector edge-1 (stream main): " in one for one in missed(office)
    )


def test_an_answer_says_which_batch_is_gone(office: Office) -> None:
    hidden, elsewhere = push(office), office.rooms.hour - 40 * HOUR
    push(office, first_hour=elsewhere, last_hour=elsewhere)
    hidden.delete()
    state, why = last_hour(office.ask())
    assert (state, len(why)) == ("UNSEALED", 1)
    assert why[0].startswith("batch 2 of collector edge-1 (stream main): missing, since ")


@pytest.mark.parametrize(
    "changed",
    [{}, {"collector": "edge-2"}, {"tenant": "isp-two"}, {"batch_id": bytes(16)},
     {"stream": "other"}, {"sequence": 1}, {"rejected": {"batch-not-signed": 1}},
     {"rejected": {"batch-intake-key-gone": 1}}],
)  # fmt: skip
def test_no_other_receipt_makes_it_sealed(office: Office, changed: dict[str, Any]) -> None:
    """A sealer's of something else, or one that somebody signed for himself."""
    sealer = office.rooms.keys.signing
    give_receipt(office, push(office), sealer if changed else Ed25519PrivateKey.generate(), changed)
    assert missed(office)


@pytest.mark.parametrize("changed", [{"records": 1}, {"rejected": {"batch-not-arrow": 1}}])
def test_a_sealers_receipt_says_that_it_is_sealed_or_was_none(
    office: Office, changed: dict[str, Any]
) -> None:
    give_receipt(office, push(office), office.rooms.keys.signing, changed)
    assert not missed(office)


def give_receipt(
    office: Office, batch: Batch, key: Ed25519PrivateKey, changed: dict[str, Any]
) -> None:
    receipt = Receipt(
        "sealed", office.rooms.tenant.name, "edge-1", bytes(batch.batch_id),
        **Label.of(batch).columns(), at=office.rooms.now, body_sha256=bytes(32),
    )  # fmt: skip
    signed = Envelope.sign("receipt", replace(receipt, **changed).to_fields(), key)
    Batch.objects.filter(id=batch.id).update(state="sealed", sealed_receipt=signed.encode())


def test_hours_that_a_missing_batch_cannot_reach_stay_complete(office: Office) -> None:
    """It came between its neighbours, and no record is taken that is older than 48 hours. The one
    before it has records of three hours ago, and who knows how often it was pushed."""
    hidden, elsewhere = push(office), office.rooms.hour - 90 * HOUR
    push(office, first_hour=elsewhere, last_hour=elsewhere)
    hidden.delete()
    assert [bool(missed(office, ago)) for ago in (0, 40, 52, 53, 60)] == [True] * 3 + [False] * 2


def test_a_stream_that_does_not_begin_with_one_lacks_its_first(office: Office) -> None:
    elsewhere = office.rooms.hour - 90 * HOUR
    push(office, stream="new", sequence=3, first_hour=elsewhere, last_hour=elsewhere)
    (why,) = missed(office)
    assert why.startswith("batches 1 to 2 of collector edge-1 (stream new): missing")


def test_a_stream_that_begins_with_nought_lacks_nothing(office: Office) -> None:
    for sequence in (0, 1):
        give_receipt(
            office, push(office, stream="new", sequence=sequence), office.rooms.keys.signing, {}
        )
    assert missed(office) == []


@pytest.mark.parametrize(("days_ago", "is_missed"), [(363.5, False), (364.5, False), (300, True)])
def test_what_went_with_its_year_is_missed_by_nobody(
    office: Office, days_ago: float, is_missed: bool
) -> None:
    """Whatever the database says of it: who deletes all before a batch hides it no better."""
    rooms = office.rooms
    at = rooms.now - timedelta(days=days_ago)
    label = rooms.label(
        stream="old", sequence=3, first_hour=hour_start(at), last_hour=hour_start(at)
    )
    _accept_at(office, label, at)
    rooms.collector.forgotten = {"old": 2}
    rooms.collector.save()
    hour = hour_start(at) - 5 * HOUR
    found = [one.what for one in unsealed(TENANT, hour, hour, rooms.trust, rooms.now)]
    what = "batches 1 to 2 of collector edge-1 (stream old): missing"
    assert found == ([what] if is_missed else [])


def test_a_gap_around_the_hours_asked_is_seen_though_nothing_near_is_left(office: Office) -> None:
    """One batch from long before and one from long after, and between them who knows."""
    rooms = office.rooms
    for sequence, days in ((1, -9), (3, 9)):
        at = rooms.now + timedelta(days=days)
        hour = hour_start(at)
        label = rooms.label(stream="far", sequence=sequence, first_hour=hour, last_hour=hour)
        _accept_at(office, label, at)
    (why,) = missed(office)
    assert why.startswith("batch 2 of collector edge-1 (stream far): missing")


@pytest.mark.parametrize("days", [-5, 5])
@pytest.mark.parametrize("sequence", [5, 1000])
def test_a_row_of_ones_own_far_away_hides_no_gap(office: Office, days: int, sequence: int) -> None:
    """Nothing of the stream is near the hours but what was deleted; a row that is nearer than its
    true neighbours says: go no further. Its number is further away than is looked."""
    rooms = office.rooms
    for number, ago in ((20, 9), (22, -9)):
        at = rooms.now - timedelta(days=ago)
        hour = hour_start(at)
        _accept_at(office, rooms.label(stream="far", sequence=number, first_hour=hour,
                                       last_hour=hour), at)  # fmt: skip
    far = rooms.now + timedelta(days=days)
    planted = rooms.label(stream="far", sequence=sequence, first_hour=hour_start(far),
                          last_hour=hour_start(far))  # fmt: skip
    _accept_at(office, planted, far, Ed25519PrivateKey.generate())
    assert missed(office)


@pytest.fixture
def backfilled(office: Office) -> Batch:
    """A batch that waits with records of ten days ago, which a backfill lets in; its collector, and
    one beside it, went on."""
    rooms, hour = office.rooms, office.rooms.hour - 240 * HOUR
    hours = HourRange(hour, hour + HOUR)
    policy = Backfill(TENANT, "edge-1", hours, rooms.now + timedelta(days=7))
    add_backfill(
        rooms.tenant, Envelope.sign("policy", policy.to_fields(), ROOT).encode(), rooms.now
    )
    old = push(office, first_hour=hour, last_hour=hour)
    give_receipt(office, push(office), rooms.keys.signing, {})
    return old


def test_an_old_hour_is_not_complete_while_a_backfill_of_it_waits(
    office: Office, backfilled: Batch
) -> None:
    (why,) = missed(office, 240)
    assert why.startswith("batch 2 of collector edge-1 (stream main): not sealed, since ")
    assert (missed(office, 239), missed(office)) == ([], [])
    give_receipt(office, backfilled, office.rooms.keys.signing, {})
    assert not missed(office, 240)


def test_an_old_hour_is_not_complete_once_a_backfill_of_it_is_gone(
    office: Office, backfilled: Batch
) -> None:
    backfilled.delete()
    (why,) = missed(office, 240)
    assert why.startswith("batch 2 of collector edge-1 (stream main): missing, since ")
    assert missed(office, 239) == []
    assert len(missed(office)) == 1


def test_another_collectors_gap_is_of_no_backfill(office: Office, backfilled: Batch) -> None:
    give_receipt(office, backfilled, office.rooms.keys.signing, {})
    other = add_collector(office.rooms.tenant, "edge-2", Ed25519PrivateKey.generate())
    for sequence in (1, 3):
        push(office, collector=other, sequence=sequence)
    assert not missed(office, 240)
    assert any("batch 2 of collector edge-2 " in why for why in missed(office))


def test_who_has_its_neighbour_pushed_again_moves_a_gap_to_no_later_hour(office: Office) -> None:
    """What is deleted is pushed again, days later: the one after it still came when it came."""
    rooms = office.rooms
    for number, ago in ((1, 9), (2, 1), (4, 8)):
        at = rooms.now - timedelta(days=ago)
        hour = hour_start(at)
        label = rooms.label(stream="far", sequence=number, first_hour=hour, last_hour=hour)
        _accept_at(office, label, at)
    found = missed(office, 8 * 24 + 1)
    assert "batch 3 of collector edge-1 (stream far): missing" in "".join(found)


@pytest.mark.parametrize("pushed_again", [8, 1])
def test_one_that_is_pushed_again_later_leaves_none_before_it_missing(
    office: Office, pushed_again: int
) -> None:
    rooms = office.rooms
    for number, ago in ((1, 9), (2, 9), (4, 9), (3, pushed_again)):
        at = rooms.now - timedelta(days=ago)
        hour = hour_start(at)
        label = rooms.label(stream="far", sequence=number, first_hour=hour, last_hour=hour)
        _accept_at(office, label, at)
    assert not [why for why in missed(office, 8 * 24 + 1) if "missing" in why]


# Of these each hid something, while what was pushed again was taken for what came then.
@pytest.mark.parametrize("seed", [15, 30, 36])
def test_whatever_is_deleted_and_pushed_again_no_hour_of_what_is_gone_is_complete(
    office: Office, seed: int
) -> None:
    """Rows are deleted at random, again and again, and others are dated elsewhere. What a batch
    holds was there when it was first pushed, within 48 hours before."""
    rooms, rng = office.rooms, random.Random(seed)
    came = [rooms.now - timedelta(days=16)]
    while came[-1] < rooms.now:
        came.append(came[-1] + timedelta(hours=rng.choice([1, 2, 5, 30])))
    batches = []
    for number, at in enumerate(came[:-1], 1):
        hour = hour_start(at - timedelta(hours=rng.choice([0, 1, 20, 47])))
        batches.append((_far(office, number, hour, hour_start(at)), at))
    again, last = rng.choice([0.0, 0.3, 0.6, 0.9]), len(batches) - 1
    target = rng.randrange(last)
    gone = {target, *(n for n in range(last) if rng.random() < rng.choice((0, 0.2, 0.5)))}
    dates = rng.randrange(4)
    for number, (label, at) in enumerate(batches):
        is_again = rng.random() < again and number != last
        came_at = at + (rooms.now - at) * rng.random() if is_again else at
        if number not in gone:
            batch = _sealed_at(office, label, came_at)
            if days := _days_off(rng, dates, number - target):
                moved = rooms.now + timedelta(days=days)
                Batch.objects.filter(id=batch.id).update(
                    accepted_at=moved, first_hour=rng.choice([hour_start(moved), label.first_hour])
                )
    for number in gone:
        label = batches[number][0]
        for hour in {label.first_hour, label.last_hour}:
            assert unsealed(TENANT, hour, hour, rooms.trust, rooms.now), (number, hour)


def _days_off(rng: random.Random, dates: int, after_target: int) -> int:
    """By how much who writes the database dates a row elsewhere."""
    if dates == 1 and after_target > 0:
        return 40
    if dates == 2 and after_target < 0:
        return -40
    return rng.choice([-9, 9, -3, 3]) if dates == 3 and rng.random() < 0.3 else 0


def _far(office: Office, number: int, first_hour: datetime, last_hour: datetime) -> Label:
    return office.rooms.label(
        stream="far", sequence=number, first_hour=first_hour, last_hour=last_hour
    )


def _sealed_at(office: Office, label: Label, at: datetime) -> Batch:
    batch = _accept_at(office, label, at)
    give_receipt(office, batch, office.rooms.keys.signing, {})
    return batch


def test_a_batch_that_is_pushed_again_late_is_no_end_of_its_stream(office: Office) -> None:
    """3 was; 12 is gone, and who deleted it says that what came after it is of another year."""
    rooms = office.rooms
    began = rooms.now - timedelta(days=8)
    for number in (*range(1, 12), *range(13, 120)):
        at = began + number * HOUR
        label = _far(office, number, hour_start(at), hour_start(at))
        _sealed_at(office, label, began + 80 * HOUR if number == 3 else at)
    later = Batch.objects.filter(stream="far", sequence__gt=12)
    later.update(accepted_at=rooms.now + timedelta(days=300))
    gone = hour_start(began + 12 * HOUR)
    assert unsealed(TENANT, gone, gone, rooms.trust, rooms.now)


def test_neighbours_that_are_pushed_again_late_move_a_gap_to_no_later_hour(office: Office) -> None:
    """60 is gone, which may tell of 40 hours before; all that tells when it came came again."""
    rooms = office.rooms
    began = rooms.now - timedelta(days=8)
    for number in (*range(1, 60), *range(61, 120)):
        at = began + number * HOUR
        label = _far(office, number, hour_start(at), hour_start(at))
        _sealed_at(office, label, at + 100 * HOUR if 50 < number < 62 else at)
    gone = hour_start(began + 20 * HOUR)
    assert unsealed(TENANT, gone, gone, rooms.trust, rooms.now)


def _accept_at(
    office: Office, label: Label, at: datetime, by: Ed25519PrivateKey = RECEIPT_KEY
) -> Batch:
    """As web would have, then; or somebody else."""
    rooms, body = office.rooms, bytes(4000)
    receipt = Receipt(
        "accepted", rooms.tenant.name, "edge-1", label.batch_id, **label.columns(), at=at,
        body_sha256=bytes(32),
    )  # fmt: skip
    return Batch.objects.create(
        tenant=rooms.tenant, collector=rooms.collector, batch_id=label.batch_id,
        **label.columns(), intake_hour=label.intake_hour, body=body, body_bytes=len(body),
        body_sha256=bytes(32), accepted_at=at,
        receipt=Envelope.sign("receipt", receipt.to_fields(), by).encode(),
    )  # fmt: skip


def test_nothing_is_complete_in_a_shard_of_which_the_database_denies_that_it_is(
    office: Office,
) -> None:
    """Nor does it help to say that there is more: that is only never complete."""
    Tenant.objects.update(shards=2)
    state, why = last_hour(office.ask())
    assert (state, why[0][:18]) == ("UNSEALED", "shard 1: no epoch,")


@pytest.mark.parametrize("deed", ["empty", "of another", "signed by oneself"])
def test_what_waited_when_a_crashed_query_began_is_not_rewritten(office: Office, deed: str) -> None:
    push(office)
    query = office.put(office.lodge())
    own = Ed25519PrivateKey.generate()
    share_key = office.keys.new_share_key(query.tenant_id, office.rooms.now)
    other = bytes(32) if deed == "of another" else share_key.statement.sha256
    signer = own if deed == "signed by oneself" else office.keys.identity
    forged = waits.keep([], other, signer).to_object() if deed != "empty" else []
    kept = office.keys.keep(share_key, bytes(query.sha256))
    Query.objects.filter(id=query.id).update(share_key=kept, waiting=forged)
    assert office.run() == 1
    query.refresh_from_db()
    said = [{"keeper": "engine", "code": "lodged-does-not-open"}]
    assert (query.state, query.keepers, query.disclosure) == ("failed", said, None)


def test_what_waits_now_is_not_put_to_a_question_that_went_to_the_keepers_before(
    office: Office,
) -> None:
    """Who writes the database has the engine begin anew, and then go on with what it began first:
    the keepers' lists are of then, and what was sealed in between is in none of them."""
    batch, query = push(office), office.put(office.lodge())
    rooms = office.rooms
    question, _, waiting = _question(query, office.keys, rooms.trust, rooms.now)
    rooms.pair.keepers().commit(question)
    first = bytes(query.share_key or b"")
    give_receipt(office, batch, rooms.keys.signing, {})
    query.share_key = None
    assert len(waiting) > len(_question(query, office.keys, rooms.trust, rooms.now)[2])
    Query.objects.filter(id=query.id).update(share_key=first)
    assert office.run() == 1
    query.refresh_from_db()
    assert (query.state, query.disclosure) == ("failed", None)
