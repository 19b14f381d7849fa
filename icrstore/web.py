"""How gunicorn serves: its settings, and a worker that refuses as the doors do.

`gunicorn --config python:icrstore.web` reads the lower-case names as its settings. What its parser
cannot read never comes to a door: the worker answers it with a problem (RFC 9457), where gunicorn
would repeat it in a page, and lets nobody keep a thread by sending slowly.
"""

import errno
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import _DEFER, ThreadWorker

from icrstore.quiet import quietly
from icrstore.shell.harden import harden
from icrstore.wire.problem import whole_answer

worker_class = "icrstore.web.Worker"
limit_request_line = 4094
limit_request_fields = 100
limit_request_field_size = 8190
keepalive = 5
# No proxy names our paths by a header, so no caller does either.
forwarder_headers = ""

# Whoever has sent nothing for long, or has sent slowly for longer, is not waited for.
GRACE_SECONDS = 10.0
LEAST_BYTES_A_SECOND = 8192
# How long the last answer on a connection has to arrive, if the other side goes on sending.
LINGER_SECONDS = 1.0


def on_starting(_: Any) -> None:
    """Before the first worker, which holds keys and inherits this."""
    harden()


class Refusal(NamedTuple):
    """What gunicorn's parser found, and what we say of it; nothing that was sent is repeated."""

    found: Sequence[type[Exception]]
    status: int
    code: str
    mend: str


REFUSALS = (
    Refusal([errors.LimitRequestLine], 414, "request-line-too-long",
            "the request line has at most 4094 bytes: ask for less in it"),
    Refusal([errors.LimitRequestHeaders], 431, "header-too-large",
            "the header has at most 100 fields of at most 8190 bytes: send fewer and shorter ones"),
    Refusal([errors.InvalidHTTPVersion], 505, "unknown-http-version",
            "the request line: speak HTTP/1.1"),
    Refusal([errors.UnsupportedTransferCoding], 501, "unknown-transfer-coding",
            "Transfer-Encoding: send Content-Length instead"),
    Refusal([errors.ExpectationFailed], 417, "unknown-expectation",
            "Expect: nothing but 100-continue, or leave it out"),
    Refusal([errors.InvalidChunkSize, errors.ChunkMissingTerminator, errors.InvalidChunkExtension],
            400, "malformed-body", "the body: send it whole, with Content-Length"),
    Refusal([errors.InvalidRequestLine, errors.InvalidRequestMethod], 400, "malformed-request-line",
            "the request line: METHOD /path HTTP/1.1 in ASCII, ended by CR LF"),
    Refusal([errors.ParseException], 400, "malformed-header",
            "the header: one line a field, Name: value, each of Host, Content-Length and"
            " Transfer-Encoding at most once"),
)  # fmt: skip


class Conversation:
    """A connection whose other side must keep talking; to all who use it, a socket."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.begin()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def begin(self) -> None:
        """A request begins: from now on its bytes count."""
        self._deadline = time.monotonic() + GRACE_SECONDS
        self.is_late = self.has_answer = False

    def recv(self, size: int) -> bytes:
        """What comes, at most ``size`` bytes. Raises ConnectionResetError once it is late."""
        before = self._sock.gettimeout()
        if before == 0:
            return bytes(self._sock.recv(size))
        left = max(0.001, self._deadline - time.monotonic())
        self._sock.settimeout(left if before is None else min(left, before))
        try:
            came = bytes(self._sock.recv(size))
        except TimeoutError:
            self.is_late = time.monotonic() >= self._deadline
            if not self.is_late:
                raise
            raise ConnectionResetError(errno.ECONNRESET, "too slow") from None
        finally:
            self._sock.settimeout(before)
        self._deadline += len(came) / LEAST_BYTES_A_SECOND
        return came

    def sendall(self, content: bytes) -> None:
        self.has_answer = True
        self._sock.sendall(content)

    def send(self, content: bytes) -> int:
        self.has_answer = True
        return int(self._sock.send(content))

    def setblocking(self, is_blocking: bool) -> None:
        """A closed one stays as it is: the main loop closes again what a thread has closed."""
        if self._sock.fileno() >= 0:
            self._sock.setblocking(is_blocking)


class Worker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's worker with threads."""

    def handle(self, conn: Any) -> Any:
        """One request; false if the connection is to end, which it then has.

        True if there may be another, `_DEFER` if there was none yet: then the main loop waits.
        """
        if not (conn.initialized or conn.data_ready or conn.wait_for_data(0)):
            return _DEFER  # Who has said nothing yet keeps no thread: gunicorn would wait 5 s.
        if not isinstance(conn.sock, Conversation):
            conn.sock = Conversation(conn.sock)
        conn.sock.begin()
        kept = super().handle(conn)
        if kept:
            return kept
        if conn.sock.is_late and not conn.sock.has_answer:
            _answer(conn.sock, 408, "too-slow", "the request: send it whole, within 10 seconds")
        # Waits for the other side. gunicorn would do it in the main loop, where all wait with it.
        util.close_graceful(conn.sock, LINGER_SECONDS)
        return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what could not be read, or went wrong outside Django."""
        for refusal in REFUSALS:
            if isinstance(exc, tuple(refusal.found)):
                self.log.info("refused: %s", refusal.code)
                _answer(client, refusal.status, refusal.code, refusal.mend)
                return
        self.log.error("unexpected: %s", quietly(exc))
        _answer(client, 500, "failed", "try again later")


def _answer(sock: Any, status: int, code: str, detail: str) -> None:
    try:
        sock.settimeout(GRACE_SECONDS)
        sock.sendall(whole_answer(status, code, detail))
    except OSError:
        return
