"""The engine's second process: of a question about many hours it looks at half.

While the keepers are asked to release and to lend, it reads what the store holds of all that they
list. With the shares of the later hours it looks at those, while the engine looks at the others;
and while the engine makes the lines of an answer, it writes out their times.

It is forked from the engine, so it holds what the engine holds and is hardened as it is. What to
look at and what was found there pass through a pair of sockets that nobody else has; nothing of the
engine's own connections is left open in it, and that to PostgreSQL is its own, in the same role. It
ends when the engine has what was asked for, however the engine ends.

Whatever becomes of it no hour is lost: what it does not tell, the engine looks at itself.
"""

import os
import signal
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NoReturn, Self

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from icrstore.query import scope
from icrstore.query.records import Numbers, Written, times_of, write_here
from icrstore.query.scope import Lending, Looked, Scope
from icrstore.shell.garbage import uncollected
from icrstore.shell.harden import end_with
from icrstore.vault.reader import Held
from icrstore.warrant.statements import Request

# Of so many selectors in so many epochs half is more than it costs to tell of them.
MANY = 128
# It begins before the engine, with as much to look at: one that is still at work then is stuck, as
# is one that takes nothing of what it is told.
PATIENCE_SECONDS = 60.0
# One text is told faster than thousands.
_BETWEEN = "\n"


class Second:
    """Used as a context; in one thread. There is no process before `start_for`."""

    def __init__(self) -> None:
        self.pid = 0
        self._wire: Connection[Any, Any] | None = None
        self._prepared: Scope | None = None
        self._owes = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start_for(self, request: Request) -> None:
        """Start it if the question may be large; it connects while the keepers are asked.

        Not within a transaction: what is not committed yet only this connection sees.
        """
        self._forget()
        is_large = len(request.all_hours()) * len(request.selectors) >= MANY
        if is_large and self._wire is None and not connection.in_atomic_block:
            with suppress(OSError):  # The host has no room for it.
                self._start()

    def _start(self) -> None:
        here, there = Pipe()
        with there:
            _be_patient(here)
            parent = os.getpid()
            self.pid = os.fork()
            if not self.pid:
                _serve(there, parent, connections[DEFAULT_DB_ALIAS])
        self._wire = here

    def prepare(self, whole: Scope) -> None:
        """Have it read what is held of a scope, if that is large."""
        self._forget()
        is_large = len(whole.epochs) * len(whole.request.selectors) >= MANY
        if is_large and self._ask("hold", whole):
            self._prepared = whole

    def look(self, whole: Scope, lending: Lending) -> Looked:
        """What is found in a scope, by both if it was prepared. Raises what `scope.look` does."""
        held = self._told() if self._prepared is whole else None
        self._prepared = None
        if held is None:
            return scope.look(whole, whole.held(), lending)
        later = whole.halves()[1]
        self._ask("look", later.shares_of(lending))
        try:
            made = scope.look(whole, held, lending)
        except BaseException:
            # It would go on, with shares, at what nobody wants any more.
            self.close()
            raise
        told = self._told()
        made.join(scope.look(later, later.held(), lending).handed() if told is None else told)
        return made

    def write(self, nanoseconds: Numbers) -> Written:
        """A `Write`: done there at once, of one column at a time; here what is not done there."""
        here = write_here(nanoseconds)
        if self._owes or not len(nanoseconds) or not self._ask("write", nanoseconds):
            return here

        def written() -> list[str]:
            told = self._told()
            return here() if told is None else told.split(_BETWEEN)

        return written

    def _forget(self) -> None:
        """End one that still owes something: it would be taken for what is asked next."""
        if self._owes:
            self.close()

    def close(self) -> None:
        """End it, and with it all that it opened."""
        self._owes, self._prepared = False, None
        if self._wire is None:
            return
        self._wire.close()
        self._wire = None
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def _ask(self, what: str, about: Any) -> bool:
        """Have it do one of `_Work`, which is `_told` next; whether it could be asked."""
        with suppress(OSError):
            if self._wire is not None:
                self._owes = True
                self._wire.send((what, about))
                return True
        # It is gone or stuck.
        self.close()
        return False

    def _told(self) -> Any:
        """What it made; None if it is gone or stuck, and then it has ended."""
        with suppress(OSError, EOFError):
            if self._wire is not None:
                made = self._wire.recv()
                self._owes = False
                return made
        self.close()
        return None


def _be_patient(wire: "Connection[Any, Any]") -> None:
    """Let no call wait longer: what is more than the kernel holds is sent and read by many."""
    seconds, rest = divmod(PATIENCE_SECONDS, 1)
    timeval = struct.pack("@ll", int(seconds), int(rest * 1e6))
    with socket.socket(fileno=os.dup(wire.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)


def _serve(wire: "Connection[Any, Any]", parent: int, engines: BaseDatabaseWrapper) -> NoReturn:
    """All its life. Of what goes wrong it says nothing: the engine looks then, and meets it too.

    ``engines``: its connection to PostgreSQL. Held, since whoever forgets an open one tells the
    server by a socket that is another's by then.
    """
    try:
        end_with(parent)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.closerange(3, wire.fileno())
        os.closerange(wire.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        del connections[DEFAULT_DB_ALIAS]
        connection.ensure_connection()
        work = _Work()
        while True:
            with uncollected():
                _do_next(work, wire)
    finally:
        os._exit(0)


def _do_next(work: "_Work", wire: "Connection[Any, Any]") -> None:
    """While it waits for more, it holds none of the shares that it was told."""
    what, about = wire.recv()
    wire.send(getattr(work, what)(about))


class _Work:
    """What it does when asked, one after the other."""

    def hold(self, whole: Scope) -> Held:
        """What the store has of all hours; what is of the later half it keeps until it looks."""
        later = whole.halves()[1]
        earlier, held = whole.held().parted(later.epochs[0].hour)
        self._half = later, held
        return earlier

    def look(self, shares: Sequence[tuple[bytes, ...]]) -> Any:
        """What is found in the later half."""
        later, held = self._half
        del self._half
        return scope.look(later, held, later.lending_of(shares)).handed()

    def write(self, nanoseconds: Numbers) -> str:
        return _BETWEEN.join(times_of(nanoseconds))
