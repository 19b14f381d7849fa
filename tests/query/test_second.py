"""The engine's second process: what it looks at is found as if there were none, and of one question
nothing is taken for another's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import Any

import numpy as np
import pytest
from django.db import connection

from accounts.tenancy import of_tenant
from icrstore.query import opening, scope, second
from icrstore.query.records import times_of
from icrstore.query.second import Second
from icrstore.seal.epoch import HOUR
from icrstore.seal.rows import RowError
from icrstore.vault import reader
from icrstore.vault.months import month_of
from icrstore.warrant.statements import HourRange
from tests.keeper.papers import ACCOUNT
from tests.query.asking import Office, coverage, lasting
from tests.query.halves import HOURS, Lent, ask_each, found, lent_by, looks, office, without

__all__ = ["lasting", "looks", "office"]


def test_half_is_looked_at_elsewhere_and_the_answer_is_the_same(
    office: Office, looks: list[int]
) -> None:
    alone = without(lambda: ask_each(office))
    assert looks == [HOURS, HOURS, 2]
    looks.clear()
    assert ask_each(office) == alone
    assert looks == [HOURS // 2, HOURS // 2, 1]
    assert alone[0]["records"] == 4
    assert [one["verdict"] for one in alone[1]["reached"]] == ["YES", "NO"]
    assert alone[2]["resolutions"][0]["accounts"] == [ACCOUNT]


@pytest.mark.parametrize("fails", ["the keepers", "the look"])
def test_what_it_tells_of_a_question_that_failed_is_no_answer_to_the_next(
    office: Office, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    full = lent_by(office, monkeypatch)
    with Second() as other:
        other.start_for(full.request)
        other.prepare(full.whole)
        if fails == "the look":
            with monkeypatch.context() as here:
                here.setattr(scope, "look", failing)
                with pytest.raises(RowError):
                    other.look(full.whole, full.lending)
        empty = full.of_nobody()
        other.start_for(empty.request)
        assert empty.by(other).fields["records"] == 0


def failing(*given: Any) -> scope.Looked:
    raise RowError


def test_what_it_reads_ahead_of_one_scope_is_not_taken_for_another(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = lent_by(office, monkeypatch)
    empty = full.of_nobody()
    with Second() as other:
        other.start_for(full.request)
        other.prepare(full.whole)
        assert found(other.look(empty.whole, empty.lending)).fields["records"] == 0
        assert full.by(other) == full.alone()


def test_what_it_read_ahead_is_taken_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    full = lent_by(office, monkeypatch)
    monkeypatch.setattr(second, "PATIENCE_SECONDS", 0.2)
    with Second() as other:
        other.start_for(full.request)
        assert full.by(other) == full.alone()
        assert found(other.look(full.whole, full.lending)) == full.alone()
        # Nobody has waited for what nobody asked.
        os.kill(other.pid, 0)


@pytest.mark.parametrize("other_hour", [False, True])
@pytest.mark.parametrize("ago", [0, HOURS - 1])
def test_of_an_epoch_that_is_listed_twice_one_is_looked_at_and_it_fails(
    office: Office, monkeypatch: pytest.MonkeyPatch, ago: int, other_hour: bool
) -> None:
    full = lent_by(office, monkeypatch)
    one = full.whole.epochs[~ago]
    odd = one._replace(hour=one.hour - other_hour * HOUR, statement_sha256=bytes(32))
    epochs = sorted([odd, *full.whole.epochs], key=attrgetter("hour", "eid", "statement_sha256"))
    twice = Lent(replace(full.whole, epochs=epochs), full.lending)
    with Second() as other:
        other.start_for(twice.request)
        other.prepare(twice.whole)
        looked = other.look(twice.whole, twice.lending)
    assert set(looked.failed) == {one.eid}
    assert found(looked) == full.alone()


@pytest.mark.parametrize("ago", range(HOURS))
def test_an_epoch_that_is_gone_spoils_its_hour_in_either_half(office: Office, ago: int) -> None:
    rooms = office.rooms
    hours = HourRange(rooms.hour - (HOURS - 1) * HOUR, rooms.hour + HOUR)
    with renamed(office, rooms.hour - ago * HOUR):
        query = office.put(office.lodge(purpose="services", hours=hours), created=rooms.now)
        assert office.run() == 1
        told = coverage(office.answer(query))
    assert told == ["INCOMPLETE" if n == ago else "COMPLETE" for n in range(HOURS)][::-1]


def test_a_month_that_goes_once_its_statements_are_read_fails_its_hours(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = lent_by(office, monkeypatch)
    held = full.whole.held()
    gone = month_of(full.whole.epochs[-1].hour)

    def without_month() -> scope.Looked:
        with connection.cursor() as cursor:
            for table in ("vault_segment", "vault_bucket"):
                cursor.execute(f"DROP TABLE {table}_{gone}")
        return scope.look(full.whole, held, full.lending)

    looked = without(without_month)
    # Where nothing was sealed nothing is missing.
    assert set(looked.failed) == {e.eid for e in held.epochs if e.month == gone and e.rows}
    assert looked.failed
    assert full.alone().fields["records"]


@contextmanager
def renamed(office: Office, hour: datetime) -> Iterator[None]:
    """The epoch of an hour is not found for a while."""

    def set_eid(text: str) -> None:
        with of_tenant(office.rooms.tenant.name), connection.cursor() as cursor:
            cursor.execute(f"UPDATE vault_epoch SET eid = {text} WHERE hour = %s", [hour])
            assert cursor.rowcount == 1

    set_eid(r"eid || '\x00'")
    yield
    set_eid("substring(eid FROM 1 FOR 16)")


def test_it_writes_one_column_at_a_time_and_what_it_does_not_is_written_here(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = lent_by(office, monkeypatch)
    columns = [np.array(each, np.int64) for each in ((), (1, 10**18), (5,))]
    with Second() as other:
        other.start_for(full.request)
        for _ in range(2):
            written = [other.write(each) for each in columns]
            assert [each() for each in written[::-1]] == [times_of(each) for each in columns[::-1]]
        assert full.by(other) == full.alone()


def test_rows_are_left_once_something_raises_among_them(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever handles it asks PostgreSQL by the same connection, and would wait for ever."""
    full = lent_by(office, monkeypatch)
    held = full.whole.held()
    monkeypatch.setattr(reader, "FEW", 2)
    monkeypatch.setattr(opening, "_prove", broken)
    try:
        scope.look(full.whole, held, full.lending)
    except ZeroDivisionError:
        assert not connection.connection.lock.locked()
        assert full.whole.held() == held
    else:
        pytest.fail("it has not come to it")


def broken(*given: Any) -> None:
    raise ZeroDivisionError
