from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from icrstore.keeper.answers import ListedEpoch
from icrstore.query.coverage import HourCoverage, Listed, cover
from icrstore.seal.epoch import Role
from icrstore.vault.accepted import Unsealed

HOUR = timedelta(hours=1)
NINE = datetime(2026, 11, 22, 9, tzinfo=UTC)
TEN = NINE + HOUR


def epoch(number: int, hour: datetime = NINE, shard: int = 0) -> ListedEpoch:
    return ListedEpoch(bytes([number] * 16), hour, shard, bytes([number] * 32))


A, B = epoch(1), epoch(2)


def covered(
    operator: Sequence[ListedEpoch],
    oversight: Sequence[ListedEpoch] | None = None,
    *,
    hours: Sequence[datetime] = (NINE,),
    shards: int = 1,
    waiting: Sequence[Unsealed] = (),
    failed: Sequence[bytes] = (),
) -> list[HourCoverage]:
    listed = Listed(operator, operator if oversight is None else oversight)
    return cover(hours, listed, shards, waiting, dict.fromkeys(failed, "a row is missing"))


def waits(first: datetime = NINE, last: datetime = NINE, number: int = 1) -> Unsealed:
    return Unsealed(TEN + number * HOUR, first, last, f"batch {number}: not sealed")


def state(*arguments: Sequence[ListedEpoch], **options: object) -> str:
    (hour,) = covered(*arguments, **options)  # type: ignore[arg-type] # passed on as they are
    return hour.state


def test_an_hour_that_both_list_alike_and_all_hold_is_complete() -> None:
    (hour,) = covered([A, B])
    assert hour == HourCoverage(NINE, "COMPLETE", (A, B))
    assert hour.to_object() == {
        "hour": "2026-11-22T09:00:00Z",
        "coverage": "COMPLETE",
        "epochs": [{"eid": e.eid.hex(), "statement_sha256": e.statement_sha256.hex()}
                   for e in (A, B)],
    }  # fmt: skip


@pytest.mark.parametrize(("operator", "oversight"), [([A, B], [A]), ([A], [A, B]), ([A], [B]),
                                                     ([], [A]), ([A], [])])  # fmt: skip
def test_lists_that_differ_are_incomplete_and_name_the_epochs(
    operator: list[ListedEpoch], oversight: list[ListedEpoch]
) -> None:
    (hour,) = covered(operator, oversight)
    assert hour.state == "INCOMPLETE"
    odd = set(operator) ^ set(oversight)
    for one in (A, B):
        told = f"epoch {one.eid.hex()}: not logged alike by every keeper"
        assert (told in hour.why) == (one in odd)
    assert set(hour.epochs) == {*operator, *oversight}


@pytest.mark.parametrize("changes", [{"statement_sha256": bytes(32)}, {"shard": 1}])
def test_one_epoch_told_in_two_ways_is_incomplete_and_both_are_shown(
    changes: dict[str, Any],
) -> None:
    other = A._replace(**changes)
    (hour,) = covered([A], [other], shards=2)
    assert hour.state == "INCOMPLETE"
    assert set(hour.epochs) == {A, other}


def test_one_epoch_told_of_two_hours_spoils_both() -> None:
    hours = covered([A], [A._replace(hour=TEN)], hours=[NINE, TEN])
    assert [hour.state for hour in hours] == ["INCOMPLETE", "INCOMPLETE"]


def test_a_failing_epoch_is_named_and_spoils_its_hour_alone() -> None:
    other = epoch(3, TEN)
    nine, ten = covered([A, B, other], hours=[NINE, TEN], failed=[B.eid])
    assert nine.why == (f"epoch {B.eid.hex()}: a row is missing",)
    assert (nine.state, ten.state) == ("INCOMPLETE", "COMPLETE")


def test_a_shard_without_an_epoch_is_unsealed_and_named() -> None:
    (hour,) = covered([A], shards=3)
    assert hour.state == "UNSEALED"
    assert hour.why == tuple(f"shard {n}: no epoch, since 2026-11-22T10:00:00Z" for n in (1, 2))
    assert state([A, epoch(2, shard=1), epoch(3, shard=2)], shards=3) == "COMPLETE"


def test_an_hour_of_which_nobody_lists_anything_is_unsealed() -> None:
    assert state([]) == "UNSEALED"
    assert state([epoch(1, TEN)]) == "UNSEALED"


def test_an_epoch_that_one_keeper_lists_seals_no_shard() -> None:
    (hour,) = covered([A], [])
    assert "shard 0: no epoch, since 2026-11-22T10:00:00Z" in hour.why


@pytest.mark.parametrize(
    ("first", "last", "reached"),
    [(0, 0, True), (-1, 0, True), (0, 1, True), (-5, 5, True), (1, 2, False), (-2, -1, False)],
)
def test_a_batch_that_waits_makes_each_hour_of_its_scope_unsealed(
    first: int, last: int, reached: bool
) -> None:
    waiting = [waits(NINE + first * HOUR, NINE + last * HOUR)]
    assert state([A], waiting=waiting) == ("UNSEALED" if reached else "COMPLETE")


def test_of_what_waits_the_oldest_are_named_since_when_and_the_others_counted() -> None:
    (hour,) = covered([A], waiting=[waits(number=n) for n in range(1, 6)])
    assert hour.why == (
        "batch 1: not sealed, since 2026-11-22T11:00:00Z",
        "batch 2: not sealed, since 2026-11-22T12:00:00Z",
        "batch 3: not sealed, since 2026-11-22T13:00:00Z",
        "and 2 more that came later",
    )


def test_a_shard_that_the_database_denies_is_known_by_what_was_logged_of_it() -> None:
    nine, ten = covered([A, epoch(2, shard=1), epoch(3, TEN)], hours=[NINE, TEN], shards=1)
    assert (nine.state, ten.state) == ("COMPLETE", "UNSEALED")
    assert ten.why == ("shard 1: no epoch, since 2026-11-22T11:00:00Z",)


def test_incomplete_is_worse_than_unsealed_and_says_both() -> None:
    (hour,) = covered([A], [A, B], shards=2, waiting=[waits()], failed=[A.eid])
    assert hour.state == "INCOMPLETE"
    assert len(hour.why) == 4


def test_every_hour_asked_for_is_answered_in_order_and_no_other() -> None:
    hours = [NINE, TEN, NINE + 5 * HOUR]
    told = covered([A, epoch(2, TEN), epoch(3, NINE + 9 * HOUR)], hours=hours)
    assert [hour.hour for hour in told] == hours
    assert [hour.state for hour in told] == ["COMPLETE", "COMPLETE", "UNSEALED"]


def test_complete_is_said_only_where_nothing_speaks_against_it() -> None:
    """Every mixture of the reasons; a short list is never a silent one."""
    for differ, fails, lacks, waiting in product([False, True], repeat=4):
        told = state(
            [A, B], [A] if differ else [A, B],
            shards=2 if lacks else 1,
            waiting=[waits()] if waiting else [],
            failed=[A.eid] if fails else [],
        )  # fmt: skip
        expected = (
            "INCOMPLETE" if differ or fails else "UNSEALED" if lacks or waiting else "COMPLETE"
        )
        assert told == expected


@pytest.mark.parametrize("twice", ["operator", "oversight"])
def test_an_epoch_that_a_keeper_lists_twice_is_opened_once(twice: Role) -> None:
    """Else a name would stand in the log with twice its records, and the hour be complete."""
    listed: dict[Role, list[ListedEpoch]] = {"operator": [B, A], "oversight": [A, B]}
    listed[twice] = [B, A, A, epoch(3, TEN)]
    assert Listed(*listed.values()).alike == [A, B]


def test_each_hour_looks_only_at_what_reaches_it() -> None:
    """Of a year there may be half a million, which nearly nine thousand hours would each look at;
    and what is said of an hour is what it would be said of it alone."""

    class Looked(Sequence[Unsealed]):
        looks = 0

        def __getitem__(self, place: Any) -> Any:
            self.looks += 1
            return waiting[place]

        def __len__(self) -> int:
            return len(waiting)

    asked = [NINE + n * HOUR for n in range(400)]
    listed = [epoch(1, hour) for hour in asked]
    waiting = [waits(hour, hour + n % 3 * HOUR, n) for n, hour in enumerate(reversed(asked))]
    waiting += [waits(NINE, NINE + 900 * HOUR, 401), waits(NINE - HOUR, NINE - HOUR, 402)]
    looked = Looked()
    together = covered(listed, hours=asked, waiting=looked)
    assert looked.looks < 10 * len(waiting)
    assert together == [
        one for hour in asked for one in covered(listed, hours=[hour], waiting=waiting)
    ]
