"""How gunicorn serves: its settings, and a worker that refuses as the doors do.

`gunicorn --config python:icrstore.web` reads the lower-case names as its settings. What its parser
cannot read never comes to a door: the worker answers it with a problem (RFC 9457), where gunicorn
would repeat it in a page, and lets nobody keep a thread by sending slowly.
"""

import errno
import math
import re
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gunicorn import util
from gunicorn.http import errors
from gunicorn.http.unreader import SocketUnreader
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

# What of a body is read ahead is copied for each piece that is taken: no more than a piece of ours
# (`api.signed`), or it is copied many times.
SocketUnreader.max_body_chunk = 1 << 18

# Whoever has sent nothing for long, or has sent slowly for longer, is not waited for.
GRACE_SECONDS = 10.0
LEAST_BYTES_A_SECOND = 8192
# How long the last answer on a connection has to arrive, if the other side goes on sending.
LINGER_SECONDS = 1.0
# The same two while others wait for a thread: only who stops is cut off so soon.
CROWDED_GRACE_SECONDS, CROWDED_LINGER_SECONDS = 0.25, 0.0
# A header that is not all here is looked at again after so long, and no thread waits for it; one of
# this length is read as it comes, since none of ours is so long.
_TURN_SECONDS, _HEAD_BYTES = 0.005, 16384
_LATER = object()
_END_OF_HEAD = re.compile(rb"\n\r?\n")


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

    def __init__(self, sock: Any, is_crowded: Callable[[], bool]) -> None:
        self._sock, self._is_crowded = sock, is_crowded
        self.begin()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def begin(self) -> None:
        """A request begins: from now on its bytes count."""
        self._earned = time.monotonic()
        self.is_late = self.has_answer = self.has_begun = False

    def _left(self, grace_seconds: float, bytes_here: int = 0) -> float:
        """For how many seconds more it is waited for."""
        earned = self._earned + bytes_here / LEAST_BYTES_A_SECOND
        return earned + grace_seconds - time.monotonic()

    def has_head(self) -> bool:
        """Whether a request's header is here, or as much as there will be; nothing is taken."""
        self._sock.setblocking(False)
        try:
            head = self._sock.recv(_HEAD_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            head = b" "
        if not head or len(head) == _HEAD_BYTES or _END_OF_HEAD.search(head):
            return True
        self.is_late = self._left(GRACE_SECONDS, len(head)) <= 0
        return _has_ended(self._sock)

    def recv(self, size: int) -> bytes:
        """What comes, at most ``size`` bytes. Raises ConnectionResetError once it is late."""
        before = self._sock.gettimeout()
        if before == 0:
            return bytes(self._sock.recv(size))
        until = time.monotonic() + before if before else math.inf
        try:
            came = self._wait_for(size, until)
        finally:
            self._sock.settimeout(before)
        self._earned += len(came) / LEAST_BYTES_A_SECOND
        return came

    def _wait_for(self, size: int, until: float) -> bytes:
        while True:
            grace = CROWDED_GRACE_SECONDS if self._is_crowded() else GRACE_SECONDS
            left = self._left(min(grace, GRACE_SECONDS))
            # Looked at again soon: somebody may come to wait for this thread.
            self._sock.settimeout(max(0.001, min(left, until - time.monotonic(), 0.1)))
            try:
                return bytes(self._sock.recv(size))
            except TimeoutError:
                if time.monotonic() >= until:
                    raise
                self.is_late = left <= 0
            if self.is_late:
                raise ConnectionResetError(errno.ECONNRESET, "too slow") from None

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

    def is_crowded(self) -> bool:
        """Whether somebody waits for a thread."""
        return bool(self.tpool._work_queue.qsize())

    def handle(self, conn: Any) -> Any:
        """One request; false if the connection is to end, which it then has.

        True if there may be another, `_DEFER` if there was none yet: then the main loop waits.
        `_LATER` if its header is not all here: then it is another's turn.
        """
        if not (conn.initialized or conn.data_ready or conn.wait_for_data(0)):
            return _DEFER  # Who has said nothing yet keeps no thread: gunicorn would wait 5 s.
        if not isinstance(conn.sock, Conversation):
            conn.sock = Conversation(conn.sock, self.is_crowded)
        if not conn.sock.has_begun:
            conn.sock.begin()
            conn.sock.has_begun = True
        if not (_has_read_ahead(conn) or conn.sock.has_head() or conn.sock.is_late):
            time.sleep(_TURN_SECONDS)
            return _LATER
        kept = not conn.sock.is_late and super().handle(conn)
        conn.sock.has_begun = False
        if kept:
            return kept
        if conn.sock.is_late and not conn.sock.has_answer:
            _answer(conn.sock, 408, "too-slow", "the request: send it whole, within 10 seconds")
        # Waits for the other side. gunicorn would do it in the main loop, where all wait with it.
        linger = CROWDED_LINGER_SECONDS if self.is_crowded() else LINGER_SECONDS
        util.close_graceful(conn.sock, min(linger, LINGER_SECONDS))
        return False

    def finish_request(self, conn: Any, fs: Any) -> None:
        """In the main loop, once `handle` has ended."""
        if not fs.cancelled() and fs.exception() is None and fs.result() is _LATER:
            self.enqueue_req(conn)
        else:
            super().finish_request(conn, fs)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what could not be read, or went wrong outside Django."""
        for refusal in REFUSALS:
            if isinstance(exc, tuple(refusal.found)):
                self.log.info("refused: %s", refusal.code)
                _answer(client, refusal.status, refusal.code, refusal.mend)
                return
        self.log.error("unexpected: %s", quietly(exc))
        _answer(client, 500, "failed", "try again later")


def _has_read_ahead(conn: Any) -> bool:
    """Whether the next request began in what was read of the one before."""
    return bool(conn.parser and conn.parser.unreader.buf.getvalue())


def _has_ended(sock: Any) -> bool:
    """Whether the other side sends nothing more."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


def _answer(sock: Any, status: int, code: str, detail: str) -> None:
    try:
        sock.settimeout(GRACE_SECONDS)
        sock.sendall(whole_answer(status, code, detail))
    except OSError:
        return
