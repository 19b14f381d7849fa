"""The doors: what is signed, what is too large, what is not there."""

import dataclasses
import hashlib
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from icrstore.keeper.client import KeeperUntrue
from icrstore.keeper.names import authority_of
from icrstore.keeper.server import (
    MAX_BODY_BYTES,
    MAX_CONNECTIONS,
    MAX_HEADER_CHARACTERS,
    MAX_HEADERS,
)
from icrstore.seal.epoch import ROLES
from icrstore.warrant.dsse import key_id
from icrstore.warrant.strict import dump, parse_object
from icrstore.wire.digest import content_digest_of
from icrstore.wire.httpunix import Response
from icrstore.wire.signatures import new_nonce, sign_request
from tests.keeper.pair import Pair
from tests.keeper.papers import TENANT


def signed(
    pair: Pair, path: str, body: bytes, method: str = "POST", at: str = "operator", ago: int = 0
) -> Mapping[str, str]:
    """Headers that sign a call to the keeper of role ``at``."""
    identity = next(one for role, one in pair.identities.items() if role == at)
    headers = {"Content-Type": "application/json", "Content-Digest": content_digest_of(body)}
    signature = sign_request(
        method,
        authority_of(identity.identity_key),
        path,
        headers if body else {},
        key=pair.keys["engine"],
        keyid=key_id(pair.public("engine")),
        created_unix_seconds=int(time.time()) - ago,
        nonce=new_nonce(),
    )
    return {**(headers if body else {}), **signature}


def post(pair: Pair, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, object]:
    return told(pair.raw("operator").call("POST", path, headers, body))


def told(response: Response) -> tuple[int, object]:
    return response.status, parse_object(response.body).get("code")


@pytest.fixture
def body(pair: Pair) -> bytes:
    return dump(pair.question().to_object())


def test_a_signed_call_may_be_replayed_without_effect(pair: Pair, body: bytes) -> None:
    headers = signed(pair, "/v1/commit", body)
    first = pair.raw("operator").call("POST", "/v1/commit", headers, body)
    size = pair.leaves("operator")
    again = pair.raw("operator").call("POST", "/v1/commit", headers, body)
    assert first.status == again.status == 200
    assert parse_object(first.body)["leaves"] == parse_object(again.body)["leaves"]
    assert pair.leaves("operator") == size


def test_calls_that_are_not_signed_as_they_must_be_are_refused(pair: Pair, body: bytes) -> None:
    path = "/v1/commit"
    right = dict(signed(pair, path, body))
    assert post(pair, path, {}, body) == (401, "no-signature")
    assert post(pair, path, right, body + b" ") == (401, "wrong-digest")
    assert post(pair, "/v1/lend", right, body) == (401, "bad-signature")
    assert post(pair, path + "?x=1", right, body) == (401, "bad-signature")
    assert post(pair, path, signed(pair, path, body, at="oversight"), body)[0] == 401
    assert post(pair, path, signed(pair, path, body, ago=600), body) == (401, "wrong-time")
    digest = content_digest_of(body + b" ")
    assert post(pair, path, {**right, "Content-Digest": digest}, body + b" ")[0] == 401
    bare = {name: value for name, value in right.items() if name != "Content-Digest"}
    assert post(pair, path, bare, body)[0] == 401


def test_bodies_that_are_no_statement_are_refused(pair: Pair) -> None:
    for content in (b"", b"[]", b"{", b'{"a":1,"a":2}', b'{"tenant":1.5}', b"{}", b"\xff"):
        for path in ("/v1/commit", "/v1/release", "/v1/lend", "/v1/disclosure"):
            content_ = content or b" "
            status, _ = post(pair, path, signed(pair, path, content_), content_)
            assert status == 400
        assert post(pair, "/v1/epochs", {}, content)[0] in (400, 401)


def test_a_field_that_nobody_asked_for_is_refused(pair: Pair) -> None:
    content = dump({**pair.question().to_object(), "hold": True})
    assert post(pair, "/v1/commit", signed(pair, "/v1/commit", content), content) == (
        400,
        "not-supported",
    )


def test_sizes_have_limits(pair: Pair) -> None:
    large = {"X-Large": "x" * (1 << 14)}
    assert post(pair, "/v1/commit", large, b"{}") == (431, "headers-too-large")
    many = {f"X-{n}": "x" for n in range(60)}
    assert post(pair, "/v1/commit", many, b"{}") == (431, "headers-too-large")
    path = str(pair.processes["operator"].socket)
    for head, code in [
        (b"Content-Length: 16777217\r\n", b"413"),
        (b"Content-Length: 99999999999999\r\n", b"413"),
        (b"Content-Length: -1\r\n", b"411"),
        (b"Content-Length: 1\r\nContent-Length: 2\r\n", b"411"),
        (b"Transfer-Encoding: chunked\r\n", b"411"),
        (b"", b"411"),
    ]:
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(path)
            raw.sendall(b"POST /v1/commit HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
            assert raw.recv(1 << 16).split(b" ")[1] == code


def test_limits_hold_at_their_edge(pair: Pair) -> None:
    def head(headers: bytes, body: bytes = b"") -> bytes:
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(pair.processes["operator"].socket))
            raw.sendall(b"POST /v1/x HTTP/1.1\r\n" + headers + b"\r\n" + body)
            return raw.recv(1 << 16).split(b" ")[1]

    length = b"Content-Length: %d\r\n"
    assert head(length % MAX_BODY_BYTES, bytes(MAX_BODY_BYTES)) == b"404"
    assert head(length % (MAX_BODY_BYTES + 1)) == b"413"
    assert head(length % 2, b"x" * 3) == b"404"
    others = MAX_HEADERS - 1
    assert head(b"A: b\r\n" * others + length % 0) == b"404"
    assert head(b"A: b\r\n" * (others + 1) + length % 0) == b"431"
    fill = MAX_HEADER_CHARACTERS - len("Content-Length0") - len("A")
    assert head(b"A: " + b"b" * fill + b"\r\n" + length % 0) == b"404"
    assert head(b"A: " + b"b" * (fill + 1) + b"\r\n" + length % 0) == b"431"


def test_what_is_no_door_is_not_found(pair: Pair) -> None:
    for method, path in [("GET", "/"), ("POST", "/v1/commit/"), ("GET", "/v1/commit"),
                         ("POST", "/own-checkpoints"), ("GET", "/log/x/checkpoint")]:  # fmt: skip
        content = b"{}" if method == "POST" else b""
        assert told(pair.raw("operator").call(method, path, {}, content)) == (404, "no-such-door")
    assert pair.raw("operator").call("PUT", "/healthz", {}).status == 501


def test_everyone_may_know_who_the_keeper_is(pair: Pair) -> None:
    for role in ROLES:
        said = parse_object(pair.raw(role).call("GET", "/identity", {}).body)
        shown = pair.show(role)
        assert said == {name: shown[name] for name in said}
        assert len(said) == 6


def test_a_signed_caller_learns_which_log_is_a_tenants(pair: Pair) -> None:
    path = f"/v1/log?tenant={TENANT}"
    answer = pair.raw("operator").call("GET", path, signed(pair, path, b"", "GET"))
    assert answer.status == 200
    assert parse_object(answer.body)["origin"] == pair.show("operator")["tenants"][0]["origin"]


def test_key_schedules_hold_the_living_days_and_no_more(pair: Pair) -> None:
    def codes(query: str) -> tuple[int, object]:
        return told(pair.raw("operator").call("GET", f"/v1/key-schedule?{query}", {}))

    assert codes("tenant=nobody&from=2026-01-01&to=2026-01-01") == (404, "unknown-tenant")
    assert codes(f"tenant={TENANT}&from=1999-01-01&to=1999-01-02") == (404, "no-day-key")
    assert codes(f"tenant={TENANT}&from=1999-01-01&to=2026-01-02") == (400, "too-many-days")
    assert codes(f"tenant={TENANT}&from=x&to=y") == (400, "malformed")
    assert codes(f"tenant={TENANT}&from=2026-01-01") == (400, "malformed")


def test_many_at_once_are_all_answered(pair: Pair) -> None:
    warrant = pair.warrant(pair.warrant_of())
    questions = [pair.question(warrant) for _ in range(12)]
    keepers = pair.keepers()
    with ThreadPoolExecutor(12) as pool:
        releases = list(pool.map(lambda q: keepers.release(q, keepers.commit(q)), questions))
    shown = [one["operator"].evidence.leaves[0].index for one in releases]
    assert len(set(shown)) == 12


def test_a_slow_caller_holds_up_nobody(pair: Pair) -> None:
    path = str(pair.processes["operator"].socket)
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(path)
        slow.sendall(b"POST /v1/commit HTTP/1.1\r\n")
        started = time.monotonic()
        assert pair.raw("operator").call("GET", "/healthz", {}).status == 200
        assert time.monotonic() - started < 2


def test_a_connection_for_which_no_thread_can_start_takes_no_place(
    still_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the host has no more processes or memory for a while; then it goes on."""
    start = threading.Thread.start
    failed: list[threading.Thread] = []

    def fails(thread: threading.Thread) -> None:
        if len(failed) == MAX_CONNECTIONS:
            return start(thread)
        failed.append(thread)
        raise RuntimeError("can't start new thread")

    with still_pair.serving_ahead(timedelta(0)):
        monkeypatch.setattr(threading.Thread, "start", fails)
        for _ in range(MAX_CONNECTIONS):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(str(still_pair.processes["operator"].socket))
                assert raw.recv(1) == b""
        assert still_pair.raw("operator").call("GET", "/healthz", {}).status == 200


def test_a_client_with_the_wrong_pins_believes_nothing(pair: Pair) -> None:
    wrong = hashlib.sha256(b"another").digest()
    right = pair.identities["operator"]
    for pinned in (
        dataclasses.replace(right, log_key=wrong),
        dataclasses.replace(right, witness_key=wrong),
    ):
        mixed = dataclasses.replace(pair, identities={**pair.identities, "operator": pinned})
        with pytest.raises(KeeperUntrue):
            mixed.keepers().commit(pair.question())


def test_a_call_that_comes_once_the_keeper_has_finished_is_not_answered(still_pair: Pair) -> None:
    """Its store is closed by then: whoever asks hears nothing, and asks again."""
    path = str(still_pair.processes["operator"].socket)
    with socket.socket(socket.AF_UNIX) as waiting:
        with still_pair.serving_ahead(timedelta(0)):
            waiting.connect(path)
            # Connections are taken in their order, so the one before is taken too.
            assert still_pair.raw("operator").call("GET", "/healthz", {}).status == 200
        waiting.sendall(b"GET /v1/shreds?tenant=demo&after=2026-01-01 HTTP/1.1\r\nHost: x\r\n\r\n")
        waiting.settimeout(5)
        assert waiting.recv(1000) == b""
