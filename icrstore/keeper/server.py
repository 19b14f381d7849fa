"""The keeper's HTTP server: the standard library's, on a Unix socket, with everything bounded.

Its access log has method, door, status and milliseconds, and nothing of what was asked.
"""

import io
import os
import socket
import socketserver
import sqlite3
import stat
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from icrstore.keeper.doors import Answer, Doors, Knock
from icrstore.keeper.errors import Refused, StoreLost
from icrstore.keeper.keeper import Keeper
from icrstore.tlog.errors import LogError
from icrstore.tlog.witness import SIZE_CONTENT_TYPE, WitnessRefusal
from icrstore.warrant.strict import StatementError, dump
from icrstore.wire.errors import SignatureRefused

MAX_BODY_BYTES = 16 << 20
MAX_HEADERS, MAX_HEADER_CHARACTERS = 40, 1 << 14
MAX_CONNECTIONS = 32
SOCKET_SECONDS = 10.0
FINISH_SECONDS = 30.0
EXIT_STORE_LOST = 75


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A thread for each connection, of which there are at most MAX_CONNECTIONS."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, path: Path, keeper: Keeper) -> None:
        self.keeper = keeper
        self.doors = Doors(keeper)
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._running, self._none_runs = 0, threading.Condition()
        self._has_finished = False
        remove_dead_socket(path)
        super().__init__(str(path), Handler)
        path.chmod(0o660)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Wait for a free place before there is a thread: the rest waits in the kernel's queue."""
        self._free.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            # No thread could start, and so none gives the place back.
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is not worth a trace, and a trace may hold what was asked."""
        log("connection ended")

    def begin(self) -> bool:
        """Whether a request may run: once `finish` has ended the store is closed."""
        with self._none_runs:
            self._running += not self._has_finished
            return not self._has_finished

    def end(self) -> None:
        with self._none_runs:
            self._running -= 1
            self._none_runs.notify_all()

    def finish(self) -> None:
        """Take no more connections, and wait for the requests that run."""
        self.shutdown()
        with self._none_runs:
            self._none_runs.wait_for(lambda: self._running == 0, FINISH_SECONDS)
            self._has_finished = True
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """One request on one connection, which then closes."""

    server: Server
    protocol_version = "HTTP/1.1"
    # What was knocked at. Before that a path is whatever a stranger wrote.
    door = "-"

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Reader(self.connection))

    def do_GET(self) -> None:
        self._serve(has_body=False)

    def do_POST(self) -> None:
        self._serve(has_body=True)

    def _serve(self, has_body: bool) -> None:
        self.close_connection = True
        if not self.server.begin():
            return
        started, is_lost = time.monotonic(), False
        try:
            answer, is_lost = self._answer(has_body)
            self._send(answer)
            self._log_access(answer.status, started)
        finally:
            if is_lost:
                # What is durable is unknown, whether or not the caller is there to be told so. A
                # restart reads the disk again.
                os._exit(EXIT_STORE_LOST)
            self.server.end()

    def _answer(self, has_body: bool) -> tuple[Answer, bool]:
        """What to say, and whether the store is lost."""
        try:
            body = self._read_body() if has_body else b""
            knock = Knock(self.command, self.path, self.headers, body)
            self.door = knock.path
            return self.server.doors.answer(knock), False
        except (StoreLost, sqlite3.OperationalError):
            return self._problem(503, "store-lost"), True
        except WitnessRefusal as refused:
            return self._witness_problem(refused), False
        except (Refused, StatementError, SignatureRefused, LogError) as refused:
            return self._refuse(refused), False
        except OSError:
            raise
        except Exception as error:
            log(f"fault: {type(error).__name__}")
            return self._problem(500, "fault"), False

    def _refuse(self, error: Refused | StatementError | SignatureRefused | LogError) -> Answer:
        if isinstance(error, Refused):
            return self._problem(error.status, error.code)
        if isinstance(error, StatementError):
            return self._problem(400, error.code)
        if isinstance(error, SignatureRefused):
            return self._problem(401, error.reason)
        return self._problem(404, error.reason)

    def _witness_problem(self, refused: WitnessRefusal) -> Answer:
        if refused.latest_size is None:
            return self._problem(refused.status, refused.reason)
        return Answer(SIZE_CONTENT_TYPE, f"{refused.latest_size}\n".encode(), refused.status)

    def _problem(self, status: int, code: str) -> Answer:
        """RFC 9457."""
        told = {
            "type": "about:blank",
            "title": self.responses[status][0],
            "status": status,
            "code": code,
            "keeper": self.server.keeper.identity.role,
        }
        return Answer("application/problem+json", dump(told), status)

    def _read_body(self) -> bytes:
        """Raises Refused(length-required, body-too-large, body-cut, headers-too-large)."""
        lengths = self.headers.get_all("Content-Length") or []
        if len(lengths) != 1 or "Transfer-Encoding" in self.headers or not lengths[0].isdecimal():
            raise Refused("length-required", 411)
        if len(lengths[0]) > 9 or int(lengths[0]) > MAX_BODY_BYTES:
            raise Refused("body-too-large", 413)
        body = self.rfile.read(int(lengths[0]))
        if len(body) != int(lengths[0]):
            raise Refused("body-cut", 400)
        # Only now: an answer before the body was read may be lost with the connection.
        self._check_headers()
        return body

    def _check_headers(self) -> None:
        pairs = self.headers.items()
        characters = sum(len(name) + len(value) for name, value in pairs)
        if len(pairs) > MAX_HEADERS or characters > MAX_HEADER_CHARACTERS:
            raise Refused("headers-too-large", 431)

    def _send(self, answer: Answer) -> None:
        self.connection.settimeout(SOCKET_SECONDS)
        self.send_response_only(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()

    def _log_access(self, status: int, started: float) -> None:
        door = self.door if status not in (400, 404) else "-"
        milliseconds = (time.monotonic() - started) * 1000
        log(f"{self.command} {door} {status} {milliseconds:.1f}")

    def log_message(self, format: str, *args: Any) -> None:
        """The library would repeat what a caller wrote."""


class _Reader(io.RawIOBase):
    """Reads for SOCKET_SECONDS in all, however slowly the bytes come.

    With a timeout of each read, callers that send a byte now and then would hold every place, and
    with them the witness.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._end = time.monotonic() + SOCKET_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises TimeoutError."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def log(line: str) -> None:
    # In one write: threads would put their lines into each other's, and an ALERT begins its own.
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def remove_dead_socket(path: Path) -> None:
    """Remove a socket that nobody listens on. Raises OSError if somebody does, or it is none."""
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise OSError("the socket's path is taken by something else")
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError("a keeper listens on this socket already")
