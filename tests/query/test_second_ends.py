"""The engine's second process, wherever it ends or sticks: the engine goes on without it. It takes
nothing with it when it ends, and it ends with the engine."""

import os
import resource
import select
import signal
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connections

from icrstore.query import second
from icrstore.query.second import Second
from icrstore.shell import garbage
from tests.query.asking import Office, lasting
from tests.query.halves import HOURS, ask_each, lent_by, looks, office, without

__all__ = ["lasting", "looks", "office"]


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
