"""Every refusal is a problem with a stable code, and says nothing of what was sent."""

import socket
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.api.web import Caller, Edge, Told, Web, needle, serving
from tests.vault.rooms import Database, Rooms

DOORS = {
    "/v1/intake-key": ("GET",),
    "/v1/batches": ("POST",),
    f"/v1/batches/{'00' * 16}": ("GET",),
    "/v1/warrants": ("POST",),
    "/v1/queries": ("POST",),
    f"/v1/queries/{'00' * 32}": ("GET",),
    f"/v1/queries/{'00' * 32}/disclosure": ("GET",),
    "/v1/gaps": ("GET",),
    **{
        f"/v1/oversight/isp-a/{what}": ("GET",)
        for what in ("accesses", "refusals", "notices", "gaps")
    },
    **{
        f"/access/isp-a/v1/me/{what}": ("GET",)
        for what in ("accesses", f"accesses/{'00' * 32}/proof", "notices")
    },
    f"/ledger/operator/{'00' * 8}/checkpoint": ("GET",),
    f"/ledger/operator/{'00' * 8}/fork": ("GET",),
    f"/ledger/operator/{'00' * 8}/tile/entries/000": ("GET",),
    "/healthz": ("GET",),
    "/readyz": ("GET",),
}


@pytest.mark.parametrize("path", DOORS)
def test_a_door_says_which_methods_it_has(web: Web, path: str) -> None:
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - set(DOORS[path]):
        told = web.send(method, path)
        assert told.refusal == (405, "method-not-allowed")
        assert told.headers["allow"] == ", ".join(DOORS[path])


def test_head_is_refused_without_a_body_that_would_be_the_next_answer(web: Web) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as connection:
        request = f"HEAD /healthz HTTP/1.1\r\nHost: {web.authority}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405")
    assert body == b""


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/", "/v1/batches/", "/admin/", "/v2/batches", "/v1/queries/a/b/c", "/%ff",
     "/healthz/", "//v1/intake-key"],
)  # fmt: skip
def test_a_path_without_a_door_is_a_problem_too(web: Web, path: str) -> None:
    assert web.send("GET", path).refusal == (404, "no-such-door")
    assert web.send("POST", path, {}, b"x").refusal == (404, "no-such-door")


def test_no_query_or_accept_header_changes_how_a_door_answers(edge: Edge, web: Web) -> None:
    assert edge.caller.get("/v1/intake-key?format=html").status == 200
    assert edge.caller.get("/v1/intake-key?format=json").status == 200
    signed = edge.caller.signed("GET", "/v1/intake-key", {})
    assert web.send("GET", "/v1/intake-key", {**signed, "Accept": "text/html"}).status == 200


def test_health_is_told_to_anyone(rooms: Rooms, web: Web) -> None:
    assert web.send("GET", "/healthz").value == {"state": "alive"}
    assert web.send("GET", "/readyz").value == {"state": "ready"}


@pytest.fixture(scope="module")
def cut(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web process that PostgreSQL does not answer."""
    with serving(
        tmp_path_factory.mktemp("cut"), "postgresql://icr_web@/rooms?host=/nowhere"
    ) as web:
        yield web


def test_without_postgresql_every_door_says_so(edge: Edge, cut: Web) -> None:
    caller = Caller(cut, edge.caller.key)
    assert caller.get("/v1/intake-key").refusal == (503, "no-database")
    headers, body = edge.batch()
    assert caller.post("/v1/batches", body, headers).refusal == (503, "no-database")
    assert caller.get(f"/v1/queries/{'00' * 32}").refusal == (503, "no-database")
    told = caller.post("/v1/warrants", b'{"tenant":"demo"}')
    assert told.refusal == (422, "missing-field")
    assert cut.send("GET", "/readyz").refusal == (503, "no-database")
    assert cut.send("GET", "/healthz").status == 200


def strange_calls(edge: Edge, web: Web, text: str) -> list[Told]:
    """Refusals of every kind, each with the text wherever a caller can put one."""
    stranger = Caller(web, Ed25519PrivateKey.generate())
    headers, body = edge.batch()
    json = f'{{"tenant":"{text}","{text}":1}}'.encode()
    everywhere = {"X-Any": text, "User-Agent": text, "Accept": text, "Cookie": text}
    calls = [
        web.send("GET", f"/{text}?{text}", everywhere),
        web.send("PUT", f"/v1/batches?{text}", everywhere, text.encode()),
        web.send("POST", "/v1/batches", {**everywhere, "Content-Type": text}, text.encode()),
        web.send("GET", "/v1/intake-key", {**everywhere, "Signature": text,
                                           "Signature-Input": text}),
        stranger.post(f"/v1/warrants?{text}", json),
        edge.caller.get(f"/v1/batches/{text}"),
        edge.caller.get(f"/v1/queries/{text}"),
        edge.caller.post("/v1/warrants", json),
        edge.caller.post("/v1/queries", text.encode()),
        edge.caller.post("/v1/batches", text.encode(), {**headers, "Content-Type": text}),
        edge.caller.post("/v1/batches", text.encode(), headers),
    ]  # fmt: skip
    for name in ("Idempotency-Key", "Batch-Sequence", "Batch-Scope", "Intake-Key"):
        calls.append(edge.caller.post("/v1/batches", body, {**headers, name: text}))
    return calls


def test_nothing_that_was_sent_comes_back_or_reaches_a_log(edge: Edge, web: Web, cut: Web) -> None:
    text = needle()
    calls = strange_calls(edge, web, text) + strange_calls(edge, cut, text)
    for told in calls:
        assert told.refusal[0] >= 400
        assert text not in str(told)
    for printed in (web.log(), cut.log()):
        assert text not in printed
        assert "Traceback" not in printed
