"""A gap that a collector told shows in each answer that it reaches, whoever writes the database."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from icrstore.flow.gaps import Gap
from icrstore.inbox.models import Batch
from icrstore.seal.epoch import HOUR
from icrstore.vault.accepted import unsealed
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Receipt
from tests.keeper.papers import ACCOUNT, TENANT
from tests.query.asking import Office, coverage, lasting, office
from tests.vault.rooms import RECEIPT_KEY, record
from tests.vault.test_gaps import gap, telling

__all__ = ["lasting", "office"]

WEEK = timedelta(days=7)


def tell(office: Office, first: datetime, last: datetime, why: str = "collector-down") -> Batch:
    """A sealed batch of this gap and no record."""
    told = [Gap(first, last, why)]
    batch = office.rooms.take(telling(told), first_hour=first, last_hour=last)
    office.seal()
    return batch


def missed(office: Office, hour: datetime) -> list[str]:
    return [one.why for one in unsealed(TENANT, hour, hour, office.rooms.trust, office.rooms.now)]


def test_an_hour_that_a_gap_reaches_is_incomplete_and_says_who_told_what(office: Office) -> None:
    rooms = office.rooms
    rooms.take(telling([gap(rooms.hour), gap(rooms.hour, 20)]))
    office.seal()
    answer = office.ask()
    assert coverage(answer) == ["COMPLETE"] * 3 + ["INCOMPLETE"]
    (why,) = answer["hours"][-1]["why"]
    hour = f"{rooms.hour:%Y-%m-%dT%H}"
    assert why.startswith(
        f"records missing at collector edge-1 from {hour}:05:00Z to {hour}:25:00Z"
        " (exporter-sequence), told "
    )


def backdate(batch: Batch, at: datetime) -> None:
    """As if web had accepted it then."""
    made = Receipt.parse(Envelope.parse(bytes(batch.receipt), "receipt"))
    signed = Envelope.sign("receipt", replace(made, at=at).to_fields(), RECEIPT_KEY)
    Batch.objects.filter(id=batch.id).update(accepted_at=at, receipt=signed.encode())


def come_back(office: Office, is_first: bool = True) -> list[Batch]:
    """A collector that was off for three weeks says so, in pieces of 50 hours, and goes on; unless
    that ``is_first``, it has gone on before it says so."""
    first = office.rooms.hour - 3 * WEEK
    backdate(Batch.objects.get(sequence=1), first)
    if not is_first:
        office.rooms.take_records([record(office.rooms.hour, ACCOUNT)])
    told = [tell(office, first + n * 50 * HOUR, first + (n * 50 + 49) * HOUR) for n in range(8)]
    office.rooms.take_records([record(office.rooms.hour, ACCOUNT)])
    office.seal()
    return told


def test_a_gap_is_missed_in_all_of_its_hours_however_late_it_is_told(office: Office) -> None:
    first = office.rooms.hour - 3 * WEEK
    come_back(office)
    for hour in (first, first + 49 * HOUR, first + 50 * HOUR, first + 399 * HOUR):
        (why,) = missed(office, hour)
        assert "(collector-down)" in why
    assert missed(office, first - HOUR) == missed(office, first + 400 * HOUR) == []


def test_a_gap_of_long_ago_that_nothing_leads_to_is_found_by_its_hours(office: Office) -> None:
    """Its stream never was silent, and went on for long before somebody knew of it."""
    long_ago = office.rooms.hour - 9 * WEEK
    for _ in range(12):
        office.rooms.take_records([record(office.rooms.hour, ACCOUNT)])
    batch = tell(office, long_ago, long_ago + 3 * HOUR, "undecodable")
    (why,) = missed(office, long_ago + HOUR)
    assert "(undecodable), told " in why
    assert missed(office, long_ago + 4 * HOUR) == missed(office, long_ago - HOUR) == []
    # What is told of is not sealed and logged yet: nobody can say what it will tell.
    Batch.objects.filter(id=batch.id).update(sealed_receipt=None)
    (why,) = missed(office, long_ago + HOUR)
    assert "not sealed, since " in why


def say_nothing_of_it(batch: Batch) -> None:
    Batch.objects.filter(id=batch.id).update(gaps=[])


def move_its_hours(batch: Batch) -> None:
    hour = batch.last_hour + 9 * WEEK
    Batch.objects.filter(id=batch.id).update(first_hour=hour, last_hour=hour, gaps=[])


def take_its_receipt(batch: Batch) -> None:
    Batch.objects.filter(id=batch.id).update(sealed_receipt=None, gaps=[])


def give_it_anothers(batch: Batch) -> None:
    other = Batch.objects.exclude(id=batch.id).exclude(sealed_receipt=None).order_by("id")[0]
    Batch.objects.filter(id=batch.id).update(sealed_receipt=other.sealed_receipt)


def delete(batch: Batch) -> None:
    batch.delete()


DEEDS = (say_nothing_of_it, move_its_hours, take_its_receipt, give_it_anothers, delete)


@pytest.mark.parametrize("deed", DEEDS)
def test_no_gap_is_taken_away_from_an_hour_unseen(
    office: Office, deed: Callable[[Batch], None]
) -> None:
    rooms = office.rooms
    batch = tell(office, rooms.hour - 3 * HOUR, rooms.hour - HOUR, "spool-full")
    rooms.take_records([record(rooms.hour, ACCOUNT)])
    office.seal()
    assert missed(office, rooms.hour - 2 * HOUR)
    deed(batch)
    assert missed(office, rooms.hour - 2 * HOUR)


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize(("is_first", "number"), [(True, 0), (True, 7), (False, 7)])
def test_nor_one_that_was_told_after_a_silence(
    office: Office, deed: Callable[[Batch], None], is_first: bool, number: int
) -> None:
    told = come_back(office, is_first)
    hour = told[number].first_hour + HOUR
    deed(told[number])
    assert missed(office, hour)
