"""Writes that wait for each other are one transaction: none is answered before all are durable, and
one that fails takes none with it."""

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from icrstore.keeper import store as stores
from icrstore.keeper.errors import Refused, StoreLost
from icrstore.keeper.store import Connection, Store

SCHEMA = "CREATE TABLE IF NOT EXISTS row (number INTEGER PRIMARY KEY) STRICT"
Write = Callable[[Connection], object]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "rows.db", SCHEMA)) as made:
        yield made


def adds(number: int) -> Write:
    return lambda tx: tx.execute("INSERT INTO row VALUES (?)", (number,))


def refused(tx: Connection) -> None:
    adds(99)(tx)
    raise Refused("no")


def rows(store: Store) -> list[int]:
    with store.read() as tx:
        return [row[0] for row in tx.execute("SELECT number FROM row ORDER BY number")]


def one(store: Store, write: Write) -> list[int]:
    """What anybody reads once the write has returned."""
    with store.write() as tx:
        write(tx)
    return rows(store)


def at_once(store: Store, *writes: Write) -> list[Future[list[int]]]:
    """Writes of which the first goes on only once all the others wait for it."""
    first, *rest = writes

    def waits(tx: Connection) -> None:
        begun.set()
        first(tx)
        while store._waiting < len(rest):
            pass

    begun = threading.Event()
    with ThreadPoolExecutor(len(writes)) as pool:
        leading = pool.submit(one, store, waits)
        begun.wait()
        following = [pool.submit(one, store, write) for write in rest]
    return [leading, *following]


def statements(store: Store) -> list[str]:
    said: list[str] = []
    store._writer.set_trace_callback(said.append)
    return said


def test_writes_that_wait_are_committed_once_and_each_then_sees_all(store: Store) -> None:
    said = statements(store)
    done = at_once(store, adds(1), adds(2), adds(3), adds(4))
    assert [each.result() for each in done] == [[1, 2, 3, 4]] * 4
    assert said.count("COMMIT") == 1


def test_one_that_is_refused_is_undone_and_takes_no_other_with_it(store: Store) -> None:
    done = at_once(store, adds(1), adds(2), refused, adds(4))
    failed = [each.exception() for each in done]
    assert [type(each) for each in failed] == [type(None), type(None), Refused, type(None)]
    assert rows(store) == [1, 2, 4]


def test_the_first_is_refused_and_the_others_are_kept(store: Store) -> None:
    done = at_once(store, refused, adds(2), adds(3))
    assert [type(each.exception()) for each in done] == [Refused, type(None), type(None)]
    assert rows(store) == [2, 3]


def test_who_is_refused_hears_of_it_once_what_it_saw_is_durable(store: Store) -> None:
    """It was refused over a row of the first, which nobody could read elsewhere yet."""
    has_heard = threading.Event()

    def refused_while_another_waits(tx: Connection) -> None:
        assert tx.execute("SELECT 1 FROM row WHERE number = 1").fetchone()
        # It goes on for so long that whoever does not wait for it is seen.
        pool.submit(one, store, lambda _: has_heard.wait(0.2))
        while not store._waiting:
            pass
        raise Refused("taken")

    def hears() -> list[int]:
        with pytest.raises(Refused):
            one(store, refused_while_another_waits)
        has_heard.set()
        return rows(store)

    def first(tx: Connection) -> Future[list[int]]:
        adds(1)(tx)
        hearing = pool.submit(hears)
        while not store._waiting:
            pass
        return hearing

    with ThreadPoolExecutor(2) as pool:
        with store.write() as tx:
            hearing = first(tx)
        assert hearing.result() == [1]


def test_no_more_than_so_many_wait_for_one_sync(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MOST_TOGETHER", 3)
    said = statements(store)
    for each in at_once(store, *map(adds, range(7))):
        each.result()
    assert (rows(store), said.count("COMMIT")) == (list(range(7)), 3)


def test_a_commit_that_fails_is_everybodys_and_nothing_is_written_after_it(store: Store) -> None:
    def fails(action: int, what: str | None, *_: object) -> int:
        is_commit = (action, what) == (sqlite3.SQLITE_TRANSACTION, "COMMIT")
        return sqlite3.SQLITE_DENY if is_commit else sqlite3.SQLITE_OK

    store._writer.set_authorizer(fails)
    done = at_once(store, adds(1), refused, adds(3))
    assert [type(each.exception()) for each in done] == [StoreLost] * 3
    store._writer.set_authorizer(None)
    with pytest.raises(StoreLost):
        one(store, adds(4))
    assert rows(store) == []


def test_a_statement_that_fails_of_itself_loses_the_store_for_all_that_wait(store: Store) -> None:
    done = at_once(store, adds(1), lambda tx: tx.execute("SELECT * FROM none"), adds(3))
    assert [type(each.exception()) for each in done] == [StoreLost] * 3
    assert rows(store) == []


@pytest.mark.parametrize("is_durable", [False, True], ids=["before the sync", "after it"])
def test_killed_around_the_sync_all_of_it_is_there_or_none(
    tmp_path: Path, is_durable: bool
) -> None:
    """And nobody was answered whose write is gone."""
    path, answers = tmp_path / "rows.db", tmp_path / "answers"
    child = os.fork()
    if child == 0:
        # Whatever happens, this copy of the test run ends here.
        try:
            _write_and_die(path, answers, is_durable)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9
    with closing(Store(path, SCHEMA)) as store:
        assert rows(store) == ([1, 2, 3] if is_durable else [])
    assert is_durable or not answers.exists()


def _write_and_die(path: Path, answers: Path, is_durable: bool) -> None:
    store = Store(path, SCHEMA)
    ends, writes, has_answered = store._end, store.write, threading.Event()

    def dies(together: stores._Together) -> None:
        if is_durable:
            ends(together)
        # It lives on for so long that whoever does not wait for it is seen.
        has_answered.wait(0.2)
        os._exit(9)

    @contextmanager
    def answers_after() -> Iterator[Connection]:
        with writes() as tx:
            yield tx
        answers.touch()
        has_answered.set()

    # Of this store alone, in a process that dies: how it commits is what is looked at.
    store._end, store.write = dies, answers_after  # type: ignore[method-assign]
    at_once(store, adds(1), adds(2), adds(3))


def test_memory_that_ends_at_the_commit_leaves_nobody_waiting(tmp_path: Path) -> None:
    """SQLite's limit holds for a whole process, and cannot be raised again."""
    child = os.fork()
    if child == 0:
        try:
            done = _write_without_memory(tmp_path / "rows.db")
            os._exit(0 if done == [StoreLost] * 4 else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    with closing(Store(tmp_path / "rows.db", SCHEMA)) as store:
        assert rows(store) == []


def _write_without_memory(path: Path) -> list[type]:
    """What three that wait for each other are told, and one that comes later."""

    def last(tx: Connection) -> None:
        adds(3)(tx)
        tx.execute("PRAGMA hard_heap_limit = 1")

    store = Store(path, SCHEMA)
    signal.alarm(20)
    done = at_once(store, adds(1), adds(2), last)
    with pytest.raises(StoreLost) as late:
        one(store, adds(4))
    return [*(type(each.exception()) for each in done), late.type]
