"""The engine's second process: what it looks at is found as if there were none, it takes nothing
with it when it ends, and it ends with the engine."""

import os
import resource
import select
import signal
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.connection import Connection
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connection, connections, transaction

from accounts.tenancy import of_tenant
from icrstore.flow.schema import address_bytes
from icrstore.query import opening, scope, second
from icrstore.query.purposes import Found
from icrstore.query.records import times_of
from icrstore.query.second import Second
from icrstore.seal.epoch import HOUR
from icrstore.seal.rows import RowError
from icrstore.shell import garbage
from icrstore.vault import reader
from icrstore.vault.reader import Held
from icrstore.warrant.statements import (
    AccountSelector,
    AddressSelector,
    HourRange,
    Request,
    Selector,
    Target,
)
from tests.keeper.pair import ACCOUNT
from tests.query.asking import Office, coverage, lasting

__all__ = ["lasting"]

HOURS = 6


@pytest.fixture
def office(lasting: Office, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """Not within a transaction, where there is no second process."""
    monkeypatch.setattr(second, "MANY", 2)
    yield lasting
    connections.close_all()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of each look of this process, how many epochs it is about."""
    made: list[int] = []
    look = scope.look

    def counted(some: scope.Scope, held: Held, lending: scope.Lending) -> scope.Looked:
        made.append(len(held.epochs))
        return look(some, held, lending)

    monkeypatch.setattr(scope, "look", counted)
    return made


def without(ask: Callable[[], Any]) -> Any:
    """The same asked within a transaction, which is taken back."""
    with transaction.atomic():
        made = ask()
        transaction.set_rollback(True)
    return made


def ask_each(office: Office) -> list[dict[str, Any]]:
    """One question of each purpose, about some hours that have records and some that have none."""
    rooms = office.rooms
    hours = HourRange(rooms.hour - (HOURS - 1) * HOUR, rooms.hour + HOUR)
    near, far = (
        Target(cidr, hours.first, hours.end) for cidr in ("198.51.100.0/24", "192.0.2.0/24")
    )
    at = AddressSelector(address_bytes("203.0.113.9"), 2, 6, rooms.hour - 2 * HOUR, HOUR / 2)
    around = HourRange(rooms.hour - 3 * HOUR, rooms.hour - HOUR)
    papers: list[dict[str, Any]] = [
        {"purpose": "services", "hours": hours},
        {"purpose": "reached", "hours": hours, "targets": (near, far)},
        {"purpose": "resolve", "hours": around, "selectors": (at,)},
    ]
    return [ask(office, **each) for each in papers]


def ask(office: Office, **papers: Any) -> dict[str, Any]:
    query = office.put(office.lodge(**papers), created=office.rooms.now)
    assert office.run() == 1
    answer = office.answer(query)
    assert coverage(answer) == ["COMPLETE"] * len(answer["hours"])
    return {name: value for name, value in answer.items() if name != "request_sha256"}


@dataclass(frozen=True)
class Lent:
    """A question that finds something, once both keepers have lent."""

    whole: scope.Scope
    lending: scope.Lending

    @property
    def request(self) -> Request:
        return self.whole.request

    def alone(self) -> Found:
        return found(scope.look(self.whole, self.whole.held(), self.lending))

    def by(self, other: Second) -> Found:
        other.prepare(self.whole)
        return found(other.look(self.whole, self.lending))

    def of_nobody(self) -> "Lent":
        """As large, so that nothing but the process tells them apart."""
        nobody: Selector = AccountSelector("nobody")
        shares = {
            role: {(eid, nobody): share for (eid, _), share in lent.items()}
            for role, lent in self.lending.items()
        }
        request = replace(self.request, selectors=(nobody,))
        return Lent(replace(self.whole, request=request), shares)


def found(looked: scope.Looked) -> Found:
    return looked.looking.found([])


def lent_by(office: Office, patch: pytest.MonkeyPatch) -> Lent:
    made, look = list[Lent](), scope.look

    def kept(some: scope.Scope, held: Held, lending: scope.Lending) -> scope.Looked:
        made.append(Lent(some, lending))
        return look(some, held, lending)

    with patch.context() as here:
        here.setattr(scope, "look", kept)
        without(lambda: ask_each(office))
    return made[0]


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


# At each thing that it does, how many epochs this process looks at then, of the first question.
ALONE = {"hold": [HOURS], "look": [HOURS // 2, HOURS // 2], "write": [HOURS // 2]}


@pytest.mark.parametrize("ends", ["before", "within"])
@pytest.mark.parametrize("what", ALONE)
def test_where_it_ends_the_engine_does_it_itself(
    office: Office, looks: list[int], monkeypatch: pytest.MonkeyPatch, what: str, ends: str
) -> None:
    alone = without(lambda: ask_each(office))[0]
    looks.clear()
    asked = Second._ask

    def ask(self: Second, each: str, about: Any) -> bool:
        if each != what:
            return asked(self, each, about)
        pid = self.pid
        # Stopped first, it dies with what it was asked unread.
        os.kill(pid, signal.SIGKILL if ends == "before" else signal.SIGSTOP)
        if ends == "before":
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        made = asked(self, each, about)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return made

    monkeypatch.setattr(Second, "_ask", ask)
    assert ask_each(office)[0] == alone
    assert looks[: len(ALONE[what])] == ALONE[what]


@pytest.mark.parametrize("what", ALONE)
def test_one_that_is_stuck_is_ended(
    office: Office, looks: list[int], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    asked, pids = Second._ask, []

    def ask(self: Second, each: str, about: Any) -> bool:
        if each == what:
            os.kill(self.pid, signal.SIGSTOP)
            pids.append(self.pid)
        return asked(self, each, about)

    monkeypatch.setattr(Second, "_ask", ask)
    monkeypatch.setattr(second, "PATIENCE_SECONDS", 0.2)
    assert ask_each(office)[0]["records"] == 4
    assert looks[: len(ALONE[what])] == ALONE[what]
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("sticks", ["as it is told", "as it tells"])
def test_one_that_is_stuck_with_more_than_the_kernel_holds_is_ended(
    office: Office, monkeypatch: pytest.MonkeyPatch, sticks: str
) -> None:
    """Half of a message is no message: nobody waits for the rest of it for ever."""
    full, engine = lent_by(office, monkeypatch), os.getpid()
    alone = full.alone()
    monkeypatch.setattr(second, "PATIENCE_SECONDS", 0.2)
    # By which a message goes out in one piece; its stubs leave it out.
    send = Connection._send  # type: ignore[attr-defined]

    def half(self: Any, content: Any) -> None:
        if os.getpid() == engine:
            send(self, content)
        else:
            os.write(self.fileno(), content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGSTOP)

    with Second() as other:
        if sticks == "as it tells":
            monkeypatch.setattr(Connection, "_send", half)
        other.start_for(full.request)
        pid = other.pid
        if sticks == "as it is told":
            os.kill(pid, signal.SIGSTOP)
            vars(full.request)["large"] = bytes(4 << 20)
        assert full.by(other) == alone
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_where_the_host_has_no_room_for_it_the_engine_looks_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = lent_by(office, monkeypatch)
    alone = full.alone()
    limits, free = resource.getrlimit(resource.RLIMIT_NOFILE), os.dup(0)
    os.close(free)
    with Second() as other:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        try:
            other.start_for(full.request)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert not other.pid
        assert full.by(other) == alone


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


def test_it_holds_nothing_of_what_it_was_asked_while_it_waits(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shares are among that."""
    asked, gone, uncollected = list[weakref.ref[Any]](), list[bool](), garbage.uncollected

    @contextmanager
    def waiting() -> Iterator[None]:
        gone.extend(each() is None for each in asked)
        with uncollected():
            yield

    def write(work: Any, nanoseconds: Any) -> str:
        asked.append(weakref.ref(nanoseconds))
        return "\n".join(map(str, gone))

    full = lent_by(office, monkeypatch)
    monkeypatch.setattr(second, "uncollected", waiting)
    monkeypatch.setattr(second._Work, "write", write)
    with Second() as other:
        other.start_for(full.request)
        assert [other.write(np.arange(9))() for _ in range(2)] == [[""], ["True"]]


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


def test_it_ends_with_an_engine_that_is_killed(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even while it cannot see that nobody is there: here it is stopped."""
    full, (here, there) = lent_by(office, monkeypatch), os.pipe()
    engine = os.fork()
    if not engine:
        try:
            del connections["default"]
            other = Second()
            other.start_for(full.request)
            # Once it has told something it has come to its loop.
            full.by(other)
            os.kill(other.pid, signal.SIGSTOP)
            os.write(there, other.pid.to_bytes(8))
            signal.pause()
        finally:
            os._exit(1)
    child = os.pidfd_open(int.from_bytes(os.read(here, 8)))
    os.kill(engine, signal.SIGKILL)
    os.waitpid(engine, 0)
    ended = select.select([child], [], [], 10)[0]
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(child, signal.SIGKILL)
    assert ended == [child]
    for one in (child, here, there):
        os.close(one)


def test_it_keeps_nothing_open_of_the_engine(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But the socket to it: what the engine locked in PostgreSQL is free once it is gone."""
    full, mine = lent_by(office, monkeypatch), os.pipe()
    with Second() as other:
        other.start_for(full.request)
        full.by(other)
        files = Path(f"/proc/{other.pid}/fd").iterdir()
        links = [str(each.readlink()) for each in files if int(each.name) > 2]
    # The other one is its own to PostgreSQL.
    assert [link.partition(":")[0] for link in links] == ["socket", "socket"]
    for one in mine:
        os.close(one)


@pytest.mark.parametrize("ends", ["with the question", "before it tells"])
def test_it_leaves_nothing_of_itself_in_the_engine(
    office: Office, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    full = lent_by(office, monkeypatch)
    before = set(Path("/proc/self/fd").iterdir())
    with Second() as other:
        other.start_for(full.request)
        pid = other.pid
        if ends == "before it tells":
            os.kill(pid, signal.SIGKILL)
        full.by(other)
    assert set(Path("/proc/self/fd").iterdir()) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_rows_are_left_once_something_raises_among_them(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever handles it asks PostgreSQL by the same connection, and would wait for ever."""
    full = lent_by(office, monkeypatch)
    held = full.whole.held()
    monkeypatch.setattr(reader, "ROWS_AT_ONCE", 2)
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
