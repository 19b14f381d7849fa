"""Calls to a peer: over a Unix socket as over TCP, and never more or longer than allowed."""

import http.server
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from icrstore.wire.errors import CallFailed
from icrstore.wire.httpunix import Peer


class _Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = f"{self.command} {self.path} {self.headers['Host']} {self.headers['X-Told']}\n"
        answer = told.encode() + body
        self.send_response(202)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def address_string(self) -> str:
        return "peer"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(params=["unix", "tcp"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    server: socketserver.BaseServer
    if request.param == "unix":
        server = socketserver.ThreadingUnixStreamServer(str(tmp_path / "s"), _Echo)
        where = f"unix:{tmp_path / 's'}"
    else:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo)
        where = f"http://127.0.0.1:{server.server_address[1]}"
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield where
        server.shutdown()
        thread.join()


def _peer(address: str, max_response_bytes: int = 10_000, timeout_seconds: float = 5) -> Peer:
    return Peer(address, "keeper.example", timeout_seconds, max_response_bytes)


def test_a_peer_is_called_by_its_own_name_and_answers(address: str) -> None:
    answer = _peer(address).call("POST", "/v1/commit?x=1", {"X-Told": "yes"}, b"body")
    assert answer.status == 202
    assert answer.body == b"POST /v1/commit?x=1 keeper.example yes\nbody"
    assert answer.headers["retry-after"] == "7"
    assert _peer(address).call("GET", "/", {"X-Told": "no"}).body.startswith(b"GET / keeper")


def test_an_answer_may_be_as_large_as_allowed_and_no_larger(address: str) -> None:
    sent = bytes(200_000)
    size = len(_peer(address, 300_000).call("POST", "/", {}, sent).body)
    assert len(_peer(address, size).call("POST", "/", {}, sent).body) == size
    with pytest.raises(CallFailed, match="response-too-large"):
        _peer(address, size - 1).call("POST", "/", {}, sent)


def _answer_once(path: Path, answer: bytes | None) -> threading.Thread:
    """A peer that answers one call with these bytes and hangs up; with None, not at all."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                if answer is None:
                    connection.recv(1)  # Until the caller gives up.
                else:
                    connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "unreachable"),
        (b"nonsense\r\n\r\n", "malformed-response"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "malformed-response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "malformed-response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nany", "malformed-response"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshor",
            "malformed-response",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort\r\n",
            "malformed-response",
        ),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "malformed-response"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "malformed-response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "malformed-response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + bytes(20_000), "response-too-large"),
        (None, "unreachable"),
    ],
)
def test_an_answer_that_is_not_whole_is_a_failed_call(
    tmp_path: Path, answer: bytes | None, reason: str
) -> None:
    thread = _answer_once(tmp_path / "s", answer)
    with pytest.raises(CallFailed, match=reason):
        _peer(f"unix:{tmp_path / 's'}", timeout_seconds=0.2).call("GET", "/", {})
    thread.join()


def test_a_chunked_answer_is_read_whole(tmp_path: Path) -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    thread = _answer_once(tmp_path / "s", chunked)
    assert _peer(f"unix:{tmp_path / 's'}").call("GET", "/", {}).body == b"abcde"
    thread.join()


def test_an_answer_without_content_is_whole(tmp_path: Path) -> None:
    thread = _answer_once(tmp_path / "s", b"HTTP/1.1 204 No Content\r\n\r\n")
    answer = _peer(f"unix:{tmp_path / 's'}").call("GET", "/", {})
    assert (answer.status, answer.body) == (204, b"")
    thread.join()


def test_a_peer_that_is_not_there_is_a_failed_call(tmp_path: Path) -> None:
    for address in (f"unix:{tmp_path / 'nobody'}", f"unix:/{'x' * 200}", "http://127.0.0.1:1"):
        with pytest.raises(CallFailed, match="unreachable"):
            _peer(address).call("GET", "/", {})


@pytest.mark.parametrize(
    "address",
    [
        "",
        "unix:",
        "unix:relative",
        "/path",
        "https://127.0.0.1:8000",
        "http://127.0.0.1",
        "http://127.0.0.1:8000/",
        "http://192.0.2.1:8000",
        "http://0.0.0.0:8000",
        "http://keeper.example:8000",
        "http://999.1.1.1:80",
        "http://[2001:db8::1]:80",
    ],
)
def test_plain_http_never_leaves_this_host(address: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        _peer(address)


def test_loopback_of_both_families_is_this_host() -> None:
    assert _peer("http://[::1]:8000")
    assert _peer("http://127.0.0.1:8000")


def test_a_header_cannot_be_smuggled_in(address: str) -> None:
    with pytest.raises(ValueError, match="Invalid header value"):
        _peer(address).call("GET", "/", {"X-Told": "a\r\nX-Other: b"})


def test_a_caller_waits_in_a_full_queue_and_no_longer_than_it_would_for_an_answer(
    tmp_path: Path,
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        first = socket.socket(socket.AF_UNIX)
        first.connect(str(tmp_path / "s"))
        with first, pytest.raises(CallFailed, match="unreachable"):
            _peer(f"unix:{tmp_path / 's'}", timeout_seconds=0.05).call("GET", "/", {})

        def serve() -> None:
            listener.accept()[0].close()
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        later = threading.Timer(0.05, serve)
        later.start()
        assert _peer(f"unix:{tmp_path / 's'}").call("GET", "/", {}).status == 204
        later.join()
