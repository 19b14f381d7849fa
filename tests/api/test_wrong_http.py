"""What is no HTTP, or not quite: answered with a problem, at once, and nobody else is kept waiting.

The word `needle` stands wherever a caller can put one: it may neither come back nor reach a log.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.api.web import Edge, Web, serving
from tests.vault.rooms import Database

HOST = "Host: needle.example"
END = "Connection: close\r\n\r\n"


def request(line: str, *fields: str, body: str = "") -> bytes:
    return "\r\n".join([line, HOST, *fields, END + body]).encode("latin-1")


def get(*fields: str, target: str = "/healthz") -> bytes:
    return request(f"GET {target} HTTP/1.1", *fields)


def post(*fields: str, body: str = "needle", target: str = "/v1/warrants") -> bytes:
    return request(f"POST {target} HTTP/1.1", "Content-Type: application/json", *fields, body=body)


MALFORMED_LINE = (400, "malformed-request-line")
MALFORMED_HEADER = (400, "malformed-header")
WRONG = {
    "no HTTP": (b"needle\r\n\r\n", MALFORMED_LINE),
    "bytes": (bytes(range(14, 256)) + b"\r\n\r\n", MALFORMED_LINE),
    "no version": (b"GET /needle\r\n\r\n", MALFORMED_LINE),
    "bare line feeds": (b"GET /needle HTTP/1.1\nHost: x\n\n", MALFORMED_LINE),
    "a method in lower case": (request("needle /healthz HTTP/1.1"), MALFORMED_LINE),
    "a path that is not ASCII": ("GET /needleé HTTP/1.1\r\n\r\n".encode(), MALFORMED_LINE),
    "a target without a slash": (get(target="?needle"), MALFORMED_LINE),
    "a proxy's line": (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + get(), MALFORMED_LINE),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", MALFORMED_LINE),
    "HTTP/0.9": (request("GET /needle HTTP/0.9"), (505, "unknown-http-version")),
    "HTTP/3.7": (request("GET /needle HTTP/3.7"), (505, "unknown-http-version")),
    "a long line": (get(target="/" + "needle" * 1500), (414, "request-line-too-long")),
    "a long field": (get("X: " + "needle" * 1500), (431, "header-too-large")),
    "10,000 fields": (get(*(f"X{n}: needle" for n in range(10_000))), (431, "header-too-large")),
    "10,000 of one": (get(*["Signature: needle"] * 10_000), (431, "header-too-large")),
    "two hosts": (get("Host: needle"), MALFORMED_HEADER),
    "a folded line": (get("X: a\r\n needle"), MALFORMED_HEADER),
    "a space in a name": (get("X needle: a"), MALFORMED_HEADER),
    "a zero byte": (get("X: needle\0"), MALFORMED_HEADER),
    "two lengths": (post("Content-Length: 6", "Content-Length: 7"), MALFORMED_HEADER),
    "a length below zero": (post("Content-Length: -6"), MALFORMED_HEADER),
    "a length with a sign": (post("Content-Length: +6"), MALFORMED_HEADER),
    "a length of letters": (post("Content-Length: needle"), MALFORMED_HEADER),
    "a length of 5,000 digits": (post("Content-Length: " + "9" * 5000), MALFORMED_HEADER),
    "length and chunks": (
        post("Content-Length: 6", "Transfer-Encoding: chunked"), MALFORMED_HEADER
    ),
    "another coding": (post("Transfer-Encoding: needle"), (501, "unknown-transfer-coding")),
    "an expectation": (post("Expect: needle"), (417, "unknown-expectation")),
    "no length": (post(body=""), (411, "no-length")),
    "chunks": (
        post("Transfer-Encoding: chunked", body="6\r\nneedle\r\n0\r\n\r\n"), (411, "no-length")
    ),
    "chunks that are none": (
        post("Transfer-Encoding: chunked", body="needle\r\n\r\n"), (411, "no-length")
    ),
    "a length of 30 digits": (post("Content-Length: " + "9" * 30), (413, "too-large")),
    "more than 1 MiB": (post("Content-Length: 1048577"), (413, "too-large")),
    "less than its length": (post("Content-Length: 60"), (400, "cut-off")),
    "an encoded body": (
        post("Content-Length: 6", "Content-Encoding: gzip"), (415, "wrong-content-encoding")
    ),
    "another type": (
        request("POST /v1/warrants HTTP/1.1", "Content-Type: needle"), (415, "wrong-media-type")
    ),
    "no method of ours": (request("TRACE /healthz HTTP/1.1"), (405, "method-not-allowed")),
    "a tunnel": (request("CONNECT needle:443 HTTP/1.1"), (404, "no-such-door")),
    "no path": (request("OPTIONS * HTTP/1.1"), (404, "no-such-door")),
    "another server's path": (get(target="http://needle/needle"), (404, "no-such-door")),
    "dots": (get(target="/v1/../needle"), (404, "no-such-door")),
    "encoded dots": (get(target="/v1/%2e%2e/needle"), (404, "no-such-door")),
    "two slashes": (get(target="//needle/healthz"), (404, "no-such-door")),
    "what is encoded twice": (get(target="/v1%252fintake-key"), (404, "no-such-door")),
    "an encoded line end": (
        get(target="/v1/batches/%0d%0aneedle:%20x"), (401, "no-signature")
    ),
    "an encoded zero": (get(target="/v1/batches/%00needle"), (401, "no-signature")),
    "half a character": (get(target="/v1/queries/%c3"), (401, "no-signature")),
    "a malformed signature": (
        get("Signature: needle", "Signature-Input: needle", target="/v1/intake-key"),
        (401, "bad-signature"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_it_is_refused_by_name_and_not_repeated(web: Web, name: str) -> None:
    sent, refusal = WRONG[name]
    told = web.raw(sent)
    assert told.refusal == refusal
    assert told.value["detail"]
    assert "needle" not in str(told)
    assert "needle" not in web.log()
    assert "Traceback" not in web.log()


FINE = {
    "HTTP/1.0": request("GET /healthz HTTP/1.0"),
    "an absolute target": get(target="http://needle/healthz"),
    "no host": b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
    "a host that is none": b"GET /healthz HTTP/1.1\r\nHost: a b/%00@\r\nConnection: close\r\n\r\n",
    "a body": get("Content-Length: 6") + b"needle",
    "a name with an underscore": get("X_needle: a"),
    "a path from a proxy": get("SCRIPT_NAME: /needle", "PATH_INFO: /needle"),
    "bytes in a header": get("X: \xff\xfe"),
    "an upgrade": get("Upgrade: h2c", "HTTP2-Settings: AAAA"),
}


@pytest.mark.parametrize("name", FINE)
def test_what_does_no_harm_is_answered(web: Web, name: str) -> None:
    assert web.raw(FINE[name]).value == {"state": "alive"}


PAGES = ["%00", "a%00b", "%ff", "%ed%a0%80", "a" * 3000, "..", "%2e%2e", "a%0d%0ab", "%3Cb%3E"]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("part", ["", "/proof/x"])
def test_a_page_of_no_provider_is_not_found(web: Web, name: str, part: str) -> None:
    assert web.send("GET", f"/access/{name}{part}").status == 404


@pytest.mark.parametrize("cookie", ["\xff\xfe", "e\u0301".encode().decode("latin-1"), "x" * 4000])
@pytest.mark.parametrize("body", ["account=%00&code=%00", "account=e%CC%81&code=%ff", "&&=&;", ""])
def test_a_form_of_nonsense_is_refused(edge: Edge, web: Web, cookie: str, body: str) -> None:
    """Each is answered by a page: what the test's client lets through has no 500."""
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"icr_browser={cookie}; icr_session={cookie}; ; =",
        "X-Forwarded-For": "needle",
    }
    home = f"/access/{edge.rooms.tenant.name}"
    assert web.send("POST", f"{home}/enter", headers, body).status == 403
    assert web.send("POST", f"{home}/leave", headers, body).status == 303
    assert web.send("GET", home, headers).status == 200
    assert web.send("GET", f"{home}/proof/{'00' * 32}", headers).status == 404


def test_the_end_of_a_long_body_is_no_second_request(web: Web) -> None:
    """A length that lies: what is over is no HTTP, and the first answer stands."""
    sent = post("Content-Length: 2", body="{}needle\r\n\r\n").replace(b"close", b"keep-alive")
    assert web.raw(sent).refusal == (422, "missing-field")


@pytest.fixture(scope="module")
def impatient(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """It waits for less than half a second where the real one waits for ten."""
    folder = tmp_path_factory.mktemp("impatient")
    with serving(folder, database.url("web"), rules="tests.api.impatient") as made:
        yield made


SLOW = {
    "half a line": b"GET /hea",
    "half a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ",
    "half of TLS": bytes.fromhex("1603010200010001fc0303"),
}


@pytest.mark.parametrize("name", SLOW)
def test_who_stops_in_the_middle_is_told_and_left(impatient: Web, name: str) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=10) as connection:
        connection.sendall(SLOW[name])
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "too-slow"' in answer


def test_a_body_that_stops_in_the_middle_is_told_and_left(impatient: Web) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=10) as connection:
        connection.sendall(post("Content-Length: 60"))
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code": "cut-off"' in answer


def test_who_sends_byte_by_byte_is_not_waited_for(impatient: Web) -> None:
    """Each byte comes soon after the one before: that alone keeps nobody."""
    ends = threading.Event()

    def drip(connection: socket.socket) -> None:
        while not ends.wait(0.05):
            try:
                connection.sendall(b"x")
            except OSError:
                return

    with socket.create_connection(("127.0.0.1", impatient.port), timeout=10) as connection:
        connection.sendall(b"GET /")
        dripping = threading.Thread(target=drip, args=(connection,))
        dripping.start()
        started = time.monotonic()
        answer = connection.recv(4096)
        ends.set()
        dripping.join()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("sent", [b"", b"GET /hea"])
def test_many_who_stop_keep_nobody_else_waiting(impatient: Web, sent: bytes) -> None:
    """Four times as many as there are threads."""
    assert seconds_beside([sent] * 16, impatient) < 8


def test_many_who_never_leave_keep_nobody_else_waiting(web: Web) -> None:
    """They were refused, and do not close: gunicorn's main loop would wait 2 seconds for each."""
    assert seconds_beside([b"needle\r\n\r\n"] * 8, web) < 8


def test_two_hundred_who_send_slowly_stop_no_honest_push(web: Web, edge: Edge) -> None:
    """Some in the header, some in a body that nobody will look at, all byte by byte."""
    ends = threading.Event()
    starts = [b"GET /heal"] * 170 + [post("Content-Length: 60000", target="/v1/batches")] * 30
    slow = [socket.create_connection(("127.0.0.1", web.port)) for _ in starts]

    def drip() -> None:
        while not ends.wait(0.1):
            for connection in slow:
                with suppress(OSError):
                    connection.send(b"x", socket.MSG_DONTWAIT)

    dripping = threading.Thread(target=drip)
    try:
        for connection, start in zip(slow, starts, strict=True):
            connection.sendall(start)
        dripping.start()
        started = time.monotonic()
        assert edge.push(*edge.batch(b"x" * 1_000_000)).status == 202
        assert time.monotonic() - started < 8
    finally:
        ends.set()
        dripping.join()
        for connection in slow:
            connection.close()


def seconds_beside(others: list[bytes], web: Web) -> float:
    """How long three calls take while others have sent this and keep their connections."""
    slow = [socket.create_connection(("127.0.0.1", web.port)) for _ in others]
    try:
        for connection, sent in zip(slow, others, strict=True):
            connection.sendall(sent)
        started = time.monotonic()
        for _ in range(3):
            assert web.send("GET", "/healthz").status == 200
        return time.monotonic() - started
    finally:
        for connection in slow:
            connection.close()
