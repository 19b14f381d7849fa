"""The engine's second process: what it looks at is found as if there were none, it takes nothing
with it when it ends, and it ends with the engine."""

import os
import resource
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction

from icrstore.flow.schema import address_bytes
from icrstore.query import scope, second
from icrstore.query.second import Second
from icrstore.seal.epoch import HOUR
from icrstore.seal.rows import RowError
from icrstore.warrant.statements import (
    AccountSelector,
    AddressSelector,
    HourRange,
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
    """Of each look of this process, how many epochs it is about; whoever wants may interfere."""
    made: list[int] = []
    look = scope.look

    def counted(some: scope.Scope) -> scope.Looked:
        made.append(len(some.epochs))
        return look(some)

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


def scope_of(office: Office, patch: pytest.MonkeyPatch) -> scope.Scope:
    """What is looked at for a question that finds something."""
    scopes, look = list[scope.Scope](), scope.look

    def kept(some: scope.Scope) -> scope.Looked:
        scopes.append(some)
        return look(some)

    with patch.context() as here:
        here.setattr(scope, "look", kept)
        without(lambda: ask_each(office))
    return scopes[0]


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


@pytest.mark.parametrize("ends", ["before", "within"])
def test_where_it_ends_the_engine_looks_itself(
    office: Office, looks: list[int], monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    alone = without(lambda: ask_each(office))[0]
    looks.clear()
    told = Second._tell

    def tell(self: Second, theirs: scope.Scope) -> None:
        # Stopped first, it dies with what it was told unread.
        os.kill(self.pid, signal.SIGKILL if ends == "before" else signal.SIGSTOP)
        if ends == "before":
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        told(self, theirs)
        os.kill(self.pid, signal.SIGKILL)

    monkeypatch.setattr(Second, "_tell", tell)
    assert ask_each(office)[0] == alone
    assert looks[:2] == [HOURS // 2, HOURS // 2]


def test_one_that_is_stuck_is_ended(
    office: Office, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, pids = Second._tell, []

    def tell(self: Second, theirs: scope.Scope) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        pids.append(self.pid)
        told(self, theirs)

    monkeypatch.setattr(Second, "_tell", tell)
    monkeypatch.setattr(second, "PATIENCE_SECONDS", 0.01)
    assert ask_each(office)[0]["records"] == 4
    assert looks[:2] == [HOURS // 2, HOURS // 2]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("sticks", ["as it is told", "as it tells"])
def test_one_that_is_stuck_with_more_than_the_kernel_holds_is_ended(
    office: Office, monkeypatch: pytest.MonkeyPatch, sticks: str
) -> None:
    """Half of a message is no message: nobody waits for the rest of it for ever."""
    full, engine = scope_of(office, monkeypatch), os.getpid()
    alone = scope.look(full).looking.found([])
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
        assert other.look(full).looking.found([]) == alone
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_where_the_host_has_no_room_for_it_the_engine_looks_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = scope_of(office, monkeypatch)
    alone = scope.look(full).looking.found([])
    limits, free = resource.getrlimit(resource.RLIMIT_NOFILE), os.dup(0)
    os.close(free)
    with Second() as other:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        try:
            other.start_for(full.request)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert not other.pid
        assert other.look(full).looking.found([]) == alone


def test_what_it_tells_of_a_question_that_failed_is_no_answer_to_the_next(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both questions are about as much, so that nothing but the process tells them apart."""
    look, full = scope.look, scope_of(office, monkeypatch)
    nobody: Selector = AccountSelector("nobody")
    request = replace(full.request, selectors=(nobody,))
    shares = {
        role: {(eid, nobody): share for (eid, _), share in lent.items()}
        for role, lent in full.shares.items()
    }
    empty = replace(full, request=request, shares=shares)
    fails = iter([True])

    def failing(some: scope.Scope) -> scope.Looked:
        if next(fails, False):
            raise RowError
        return look(some)

    with Second() as other:
        other.start_for(full.request)
        monkeypatch.setattr(scope, "look", failing)
        with pytest.raises(RowError):
            other.look(full)
        other.start_for(full.request)
        made = other.look(empty).looking.found([])
        assert made.fields["records"] == 0


def test_it_ends_with_an_engine_that_is_killed(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even while it cannot see that nobody is there: here it is stopped."""
    full, (here, there) = scope_of(office, monkeypatch), os.pipe()
    engine = os.fork()
    if not engine:
        try:
            del connections["default"]
            other = Second()
            other.start_for(full.request)
            # Once it has told something it has come to its loop.
            other.look(full)
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
    full, mine = scope_of(office, monkeypatch), os.pipe()
    with Second() as other:
        other.start_for(full.request)
        other.look(full)
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
    full = scope_of(office, monkeypatch)
    before = set(Path("/proc/self/fd").iterdir())
    with Second() as other:
        other.start_for(full.request)
        pid = other.pid
        if ends == "before it tells":
            os.kill(pid, signal.SIGKILL)
        other.look(full)
    assert set(Path("/proc/self/fd").iterdir()) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
