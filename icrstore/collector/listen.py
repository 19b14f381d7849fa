"""Listens for exports over UDP and syslog over UDP (RFC 5426) and TCP (RFC 6587).

One thread takes what comes, into a bounded queue. While nobody takes from that, nothing is read
here: a TCP sender waits, and what the kernel drops of UDP is counted and told as a gap. None of
these protocols says who sends: only those are heard whom the config allows, by their address.
"""

import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icrstore.collector.framing import Framing
from icrstore.collector.sources import Listen
from icrstore.flow.readers.datagrams import Datagram
from icrstore.shell.stop import UNAVAILABLE, Stop

QUEUE_BYTES = 32 << 20
RECEIVE_BYTES = 16 << 20
MOST_CONNECTIONS = 256
_DATAGRAM_BYTES = 1 << 16
_TURN = 256
_LAST_TURNS = 1000


class Queue:
    """What came and is not taken yet, at most about 32 MB of it; the receiver waits for room."""

    def __init__(self) -> None:
        self._items: deque[tuple[int, Datagram]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, listener: int, datagrams: Iterable[Datagram]) -> None:
        with self._changed:
            while self._bytes >= QUEUE_BYTES and not self._is_closed:
                self._changed.wait()
            for each in datagrams:
                self._items.append((listener, each))
                self._bytes += len(each.payload)
            self._changed.notify_all()

    def take(self, seconds: float, most: int) -> list[tuple[int, Datagram]]:
        """Up to so many in the order in which they came; none if nothing comes for so long."""
        with self._changed:
            if not self._items:
                self._changed.wait(seconds)
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._bytes -= sum(len(each.payload) for _, each in taken)
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Nobody waits for room any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


@dataclass
class _Socket:
    """A bound one, or a connection to it with what is cut of its stream."""

    listener: int
    listen: Listen
    socket: socket.socket
    sender: str = ""
    framing: Framing = field(default_factory=Framing)


class Receiver:
    """All sockets of the config, and the thread that reads them; ``counted(name, n)`` is told."""

    def __init__(self, listens: Iterable[Listen], counted: Callable[[str, int], None]) -> None:
        """Bind them. Raises `Stop`, naming the one that cannot be bound."""
        self.queue = Queue()
        self._counted = counted
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._bound: list[_Socket] = []
        self._connections: set[socket.socket] = set()
        for number, listen in enumerate(listens):
            self._bound.append(_Socket(number, listen, bound(listen)))
        self._drops = {each.listener: 0 for each in self._bound}
        for each in self._bound:
            self._selector.register(each.socket, selectors.EVENT_READ, each)
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)

    @property
    def ports(self) -> list[int]:
        return [each.socket.getsockname()[1] for each in self._bound]

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Read no more; what is in the queue stays there. Safe to call twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        self.queue.close()
        if self._thread.is_alive():
            self._thread.join(5)
        for each in [each.socket for each in self._bound] + list(self._connections):
            each.close()
        self._selector.close()

    def new_drops(self) -> int:
        """Datagrams that the kernel dropped since this was last asked."""
        count = 0
        for each in self._bound:
            if each.listen.transport == "udp" and not self._stop.is_set():
                now = kernel_drops(each.socket)
                count += now - self._drops[each.listener]
                self._drops[each.listener] = now
        return count

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.2):
                with suppress(OSError):
                    self._read(key.data)
        # What the kernel has of datagrams came before the end.
        for each in self._bound:
            if each.listen.transport == "udp":
                for _ in range(_LAST_TURNS):
                    if not self._read_datagrams(each):
                        break

    def _read(self, each: _Socket) -> None:
        if each.sender:
            self._read_stream(each)
        elif each.listen.transport == "tcp":
            self._accept(each)
        else:
            self._read_datagrams(each)

    def _read_datagrams(self, each: _Socket) -> bool:
        """Some of what is there; False if there was nothing."""
        taken: list[Datagram] = []
        strangers = 0
        with suppress(BlockingIOError):
            for _ in range(_TURN):
                payload, address = each.socket.recvfrom(_DATAGRAM_BYTES)
                sender = str(address[0])
                if each.listen.is_allowed(sender):
                    taken.append(Datagram(time.time_ns(), sender, payload))
                else:
                    strangers += 1
        if strangers:
            self._counted("strangers", strangers)
        if taken:
            self.queue.put(each.listener, taken)
        return bool(taken or strangers)

    def _accept(self, each: _Socket) -> None:
        connection, address = each.socket.accept()
        sender = str(address[0])
        if not each.listen.is_allowed(sender) or len(self._connections) >= MOST_CONNECTIONS:
            self._counted("strangers", 1)
            connection.close()
            return
        connection.setblocking(False)
        self._connections.add(connection)
        made = _Socket(each.listener, each.listen, connection, f"{sender}:{address[1]}")
        self._selector.register(connection, selectors.EVENT_READ, made)

    def _read_stream(self, each: _Socket) -> None:
        try:
            content = each.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            content = b""
        messages = each.framing.feed(content) if content else each.framing.end()
        if messages:
            now = time.time_ns()
            self.queue.put(
                each.listener, [Datagram(now, each.sender, message) for message in messages]
            )
        if each.framing.dropped:
            self._counted("messages_dropped", each.framing.dropped)
            each.framing.dropped = 0
        if not content:
            self._selector.unregister(each.socket)
            self._connections.discard(each.socket)
            each.socket.close()


def bound(listen: Listen) -> socket.socket:
    """Raises `Stop`, naming the address and the mend."""
    family = socket.AF_INET6 if ":" in listen.address[0] else socket.AF_INET
    kind = socket.SOCK_DGRAM if listen.transport == "udp" else socket.SOCK_STREAM
    made = socket.socket(family, kind)
    try:
        if listen.transport == "udp":
            _enlarge(made)
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(listen.address)
        if listen.transport == "tcp":
            made.listen()
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise Stop(
            UNAVAILABLE, f"{listen.name}: {error.strerror}: is it in use, or below 1024?"
        ) from None
    return made


def _enlarge(made: socket.socket) -> None:
    """As large as the kernel allows: past net.core.rmem_max only with CAP_NET_ADMIN."""
    try:
        made.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), RECEIVE_BYTES)
    except OSError:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)


def kernel_drops(made: socket.socket, proc: Path = Path("/proc/net")) -> int:
    """How many datagrams found this socket's buffer full: the last column of /proc/net/udp."""
    inode = str(os.fstat(made.fileno()).st_ino)
    name: Any = "udp6" if made.family == socket.AF_INET6 else "udp"
    with suppress(OSError, ValueError, IndexError):
        for line in (proc / name).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[9] == inode:
                return int(columns[12])
    return 0
