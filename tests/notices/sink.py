"""A mail server of our own on a real socket: it takes, refuses, dawdles, hangs up or kills."""

import contextlib
import email
import email.policy
import os
import signal
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any


@dataclass
class Sink:
    """What came, and how the next sessions go. ``kill`` is a process that dies as its message
    is taken and before it hears so."""

    port: int = 0
    refuse: bool = False
    hang_up: bool = False
    delay_seconds: float = 0.0
    kill: int = 0
    tls: ssl.SSLContext | None = None
    sessions: int = 0
    messages: list[tuple[str, str, EmailMessage]] = field(default_factory=list)

    def to(self, address: str) -> list[EmailMessage]:
        return [message for _, recipient, message in self.messages if recipient == address]


class _Session(socketserver.StreamRequestHandler):
    """RFC 5321, as much of it as a client that behaves needs."""

    timeout = 20.0

    def handle(self) -> None:
        sink: Sink = self.server.sink  # type: ignore[attr-defined]
        sink.sessions += 1
        try:
            self._converse(sink)
        except OSError:
            pass  # the client went away, or was killed
        finally:
            # After STARTTLS this is another socket than the one that the server closes.
            self.connection.close()

    def _converse(self, sink: Sink) -> None:
        if sink.hang_up:
            return
        self._say("220 sink")
        sender = recipient = ""
        while line := self.rfile.readline(2048).decode("ascii", "replace").strip():
            time.sleep(sink.delay_seconds)
            verb = line[:4].upper()
            if verb in ("EHLO", "HELO"):
                self._say("250-sink\r\n250 STARTTLS" if sink.tls else "250 sink")
            elif verb == "STAR" and sink.tls:
                self._start_tls(sink.tls)
            elif verb == "MAIL":
                sender = _address(line)
                self._say("250 ok")
            elif verb == "RCPT":
                recipient = _address(line)
                self._say("550 no such mailbox" if sink.refuse else "250 ok")
            elif verb == "DATA":
                self._take(sink, sender, recipient)
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _take(self, sink: Sink, sender: str, recipient: str) -> None:
        self._say("354 go on")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line)
        made = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        sink.messages.append((sender, recipient, made))
        if sink.kill:
            os.kill(sink.kill, signal.SIGKILL)
        self._say("250 taken")

    def _start_tls(self, context: ssl.SSLContext) -> None:
        self._say("220 go on")
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = socketserver._SocketWriter(self.connection)  # type: ignore[attr-defined]

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode("ascii"))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        super().__init__(("127.0.0.1", sink.port), _Session)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed or gave up is what these tests are about."""


@contextlib.contextmanager
def serve(sink: Sink) -> Iterator[Sink]:
    """Served until the block ends; the port is chosen first, and kept for the next time."""
    with _Server(sink) as server:
        sink.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]
