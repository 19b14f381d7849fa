"""What a question costs, in counts: statements go by months and not by hours, rows by hours and
selectors, and what is unpacked by what there is."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from icrstore.query import engine
from icrstore.seal import account_map
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.seal.planes import Form
from icrstore.seal.unpacked import Unpacked
from icrstore.shell.garbage import uncollected
from icrstore.vault import reader
from icrstore.vault.months import month_of
from tests.query.asking import Office, lasting, office

__all__ = ["lasting", "office"]

_ABOUT = ("accounts_tenant", "vault_bucket", "vault_epoch")


@dataclass
class Costs:
    """Between a question's shares and its answer's fields: statements by what they are about, rows
    that were asked for, and segments that were unpacked."""

    statements: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    unpacked: int = 0


@contextmanager
def counted(patch: pytest.MonkeyPatch) -> Iterator[Costs]:
    made, is_counting = Costs(), False
    find, rows = engine.find, reader.rows
    execute, stream = psycopg.Cursor.execute, psycopg.Cursor.stream

    def counting(*arguments: Any) -> Any:
        nonlocal is_counting
        is_counting = True
        try:
            return find(*arguments)
        finally:
            is_counting = False

    def count(query: Any) -> None:
        if is_counting:
            made.statements[next((name for name in _ABOUT if name in str(query)), "other")] += 1

    def executed(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        count(query)
        return execute(self, query, *arguments, **options)

    def streamed(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        count(query)
        return stream(self, query, *arguments, **options)

    def asked(month: int, wanted: Any) -> Any:
        made.rows += len(wanted)
        return rows(month, wanted)

    class Counting(Unpacked):
        def __init__(self, form: Form, segments: Any, *more: Any) -> None:
            made.unpacked += len(segments)
            super().__init__(form, segments, *more)

    with patch.context() as here:
        here.setattr(engine, "find", counting)
        here.setattr(psycopg.Cursor, "execute", executed)
        here.setattr(psycopg.Cursor, "stream", streamed)
        here.setattr(reader, "rows", asked)
        here.setattr(account_map, "Unpacked", Counting)
        yield made


@pytest.mark.parametrize("hours", [1, 4, 90])
def test_statements_go_by_months_rows_by_hours_and_what_is_there_is_unpacked_once(
    office: Office, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    end = hour_start(office.rooms.now)
    months = len({month_of(end - n * HOUR) for n in range(1, hours + 1)})
    with counted(monkeypatch) as costs:
        office.ask(hours)
    others = costs.statements.pop("other")
    assert costs.statements == {
        "accounts_tenant": 1, "vault_epoch": months, "vault_bucket": months,
    }  # fmt: skip
    # The transaction and its tenant; here within another, which tells and takes back its own. And
    # what ends each stream.
    assert others <= 5
    # Of each hour the first chunk, with the proof that none follows; four hours have records.
    assert (costs.rows, costs.unpacked) == (hours, min(hours, 4))


def test_a_question_leaves_no_garbage_however_many_hours_it_looks_at(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, left = engine.find, list[int]()

    def collected(phase: str, told: dict[str, int]) -> None:
        left[-1] += told["collected"] if phase == "stop" else 0

    def counting(*arguments: Any) -> Any:
        gc.collect()
        left.append(0)
        gc.callbacks.append(collected)
        try:
            found = find(*arguments)
            gc.collect()
        finally:
            gc.callbacks.remove(collected)
        return found

    monkeypatch.setattr(engine, "find", counting)
    for hours in (1, 1, 90):
        office.ask(hours)
    _, few, many = left
    assert many <= few + 10


def test_garbage_is_collected_again_whatever_ends_the_work() -> None:
    with pytest.raises(KeyError), uncollected():
        raise KeyError
    assert gc.isenabled()
