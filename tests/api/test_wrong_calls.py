"""Every signed door under the same hands: unsigned, altered in each part, replayed, of another key.

The doors are those of `api/openapi.json`; a new one needs a call here that it takes.
"""

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accounts.models import Collector, Nonce
from api.document import document
from icrstore.inbox.models import Batch
from icrstore.query.models import LodgedWarrant, Query
from icrstore.warrant.strict import dump
from tests.api.test_enrolment import Doors, body_of, doors, invite
from tests.api.test_investigators import Desk, content, desk
from tests.api.web import Caller, Edge, Told, Web
from tests.keeper.papers import TENANT
from tests.oversight.bodies import LISTS, Body, header

__all__ = ["desk", "doors"]

JSON = {"Content-Type": "application/json"}
DOORS = [
    f"{method.upper()} {path}"
    for path, calls in document()["paths"].items()
    for method, call in calls.items()
    if "security" in call
]


@dataclass(frozen=True)
class Letter:
    """A call ready to be signed: by whom, and what a door that takes it answers."""

    caller: Caller
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    good: int

    def signed(self, **changed: Any) -> "Signed":
        by = replace(self.caller, **changed)
        headers = by.signed(self.method, self.target, self.headers, self.body)
        return Signed(self.caller.web, self.method, self.target, headers, self.body)


@dataclass(frozen=True)
class Signed:
    """A signed call that can be changed on its way."""

    web: Web
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def send(self) -> Told:
        return self.web.send(self.method, self.target, self.headers, self.body or None)

    def send_twice(self, name: str) -> Told:
        """With this header in two lines."""
        lines = [f"{self.method} {self.target} HTTP/1.1", f"Host: {self.web.authority}"]
        lines += [f"{key}: {value}" for key, value in self.headers.items()]
        lines += [f"{name}: {self.headers[name]}"]
        lines += [f"Content-Length: {len(self.body)}"] if self.body else []
        return self.web.raw("\r\n".join([*lines, "", ""]).encode() + self.body)

    def without(self, *names: str) -> "Signed":
        kept = {name: value for name, value in self.headers.items() if name not in names}
        return replace(self, headers=kept)

    def with_header(self, name: str, value: str) -> "Signed":
        return replace(self, headers={**self.headers, name: value})


def enrolment(edge: Edge, desk: Desk, doors: Doors) -> Letter:
    key = Ed25519PrivateKey.generate()
    body = dump(body_of(invite("edge-new"), key))
    return Letter(Caller(edge.caller.web, key), "POST", "/v1/enrolments", JSON, body, 201)


def intake_key(edge: Edge, desk: Desk, doors: Doors) -> Letter:
    return Letter(edge.caller, "GET", "/v1/intake-key", {}, b"", 200)


def push(edge: Edge, desk: Desk, doors: Doors) -> Letter:
    headers, body = edge.batch()
    return Letter(edge.caller, "POST", "/v1/batches", headers, body, 202)


def batch(edge: Edge, desk: Desk, doors: Doors) -> Letter:
    held = bytes(edge.rooms.take(b"records").batch_id).hex()
    return Letter(edge.caller, "GET", f"/v1/batches/{held}", {}, b"", 200)


def warrant(edge: Edge, desk: Desk, doors: Doors) -> Letter:
    body = content(TENANT, "warrant", desk.warrant(), desk.pair.grants())
    return Letter(desk.caller(), "POST", "/v1/warrants", JSON, body, 201)


def request(edge: Edge, desk: Desk, doors: Doors) -> Letter:
    lodged = desk.warrant()
    assert desk.lodge(lodged).status == 201
    body = content(TENANT, "request", desk.request(lodged), ())
    return Letter(desk.caller(), "POST", "/v1/queries", JSON, body, 202)


def query(edge: Edge, desk: Desk, doors: Doors) -> Letter:
    queued = bytes(desk.queued().sha256).hex()
    return Letter(desk.caller(), "GET", f"/v1/queries/{queued}", {}, b"", 200)


def disclosure(edge: Edge, desk: Desk, doors: Doors) -> Letter:
    queued = bytes(desk.queued().sha256).hex()
    Query.objects.update(state="answered", disclosure=b'{"sealed":[]}')
    return Letter(desk.caller(), "GET", f"/v1/queries/{queued}/disclosure", {}, b"", 200)


def gaps(edge: Edge, desk: Desk, doors: Doors) -> Letter:
    return Letter(edge.caller, "GET", "/v1/gaps", {}, b"", 200)


def watched(what: str) -> Callable[[Edge, Desk, Doors], Letter]:
    """A list of an oversight body's, by one of its people."""

    def made(edge: Edge, desk: Desk, doors: Doors) -> Letter:
        body = Body().pin(TENANT)
        caller = Caller(edge.caller.web, body.person)
        return Letter(
            caller, "GET", f"/v1/oversight/{TENANT}/{what}", header(body.grant()), b"", 200
        )

    return made


TAKEN: dict[str, Callable[[Edge, Desk, Doors], Letter]] = {
    "POST /v1/enrolments": enrolment,
    "GET /v1/intake-key": intake_key,
    "POST /v1/batches": push,
    "GET /v1/batches/{batch_id}": batch,
    "GET /v1/gaps": gaps,
    "POST /v1/warrants": warrant,
    "POST /v1/queries": request,
    "GET /v1/queries/{query_id}": query,
    "GET /v1/queries/{query_id}/disclosure": disclosure,
    **{f"GET /v1/oversight/{{tenant}}/{what}": watched(what) for what in LISTS},
}


def altered(signed: Signed) -> Iterator[tuple[str, Told]]:
    """The call with one thing changed on the way, for each thing that there is."""
    yield "no signature", signed.without("Signature").send()
    yield "no signature's input", signed.without("Signature-Input").send()
    yield "no sign of one", signed.without("Signature", "Signature-Input").send()
    yield "a query", replace(signed, target=f"{signed.target}?x=1").send()
    yield "an empty query's mark", replace(signed, target=f"{signed.target}?=").send()
    yield "an encoding", signed.with_header("Content-Encoding", "gzip").send()
    for name, value in signed.headers.items():
        yield f"{name} in two lines", signed.send_twice(name)
        yield f"another {name}", signed.with_header(name, _other(value)).send()
        yield f"no {name}", signed.without(name).send()
    if signed.body:
        yield "a longer body", replace(signed, body=signed.body + b" ").send()
        yield "no body", replace(signed, body=b"").send()


def _other(value: str) -> str:
    """The same with another letter or digit in its middle."""
    at = len(value) // 2
    while not value[at].isalnum():
        at += 1
    return value[:at] + ("b" if value[at] == "a" else "a") + value[at + 1 :]


@pytest.mark.parametrize("door", DOORS)
def test_a_call_altered_in_any_part_is_refused_and_changes_nothing(
    edge: Edge, desk: Desk, doors: Doors, door: str
) -> None:
    assert door in TAKEN, f"{door} is new: add a call to TAKEN that it takes"
    letter = TAKEN[door](edge, desk, doors)
    before = stored()
    signed = letter.signed()
    for change, told in altered(signed):
        assert told.refusal[0] in (400, 401, 411, 415, 422), change
        assert stored() == before, change
    stranger = letter.signed(key=Ed25519PrivateKey.generate()).send()
    assert stranger.refusal in ((401, "unknown-key"), (401, "bad-signature"))
    for seconds in (-3600, 3600):
        assert letter.signed(ahead_seconds=seconds).send().refusal == (401, "wrong-time")
    other = Web(1, edge.caller.web.printed)
    elsewhere = replace(letter.caller, web=other).signed(
        letter.method, letter.target, letter.headers, letter.body
    )
    told = replace(signed, headers=elsewhere).send()
    assert told.refusal == (401, "bad-signature")
    assert stored() == before
    # There was nothing else wrong with it; and it counts once.
    assert signed.send().status == letter.good
    assert signed.send().refusal == (401, "replayed")


def stored() -> list[int]:
    """How much of everything that a call can leave here there is."""
    kinds = (Batch, LodgedWarrant, Query, Collector, Nonce)
    return [kind.objects.count() for kind in kinds]


BODIES = {
    "not-json": (
        b"", b"needle", b"{", b'{"tenant":NaN}', b'{"a":1}{"a":2}', b'{"a":1}needle', b"\xff",
        b'{"tenant":"\xff\xfe"}', b"\xef\xbb\xbf{}", b"[" * 4000, b'{"a":1,"a":1}',
        b'{"tenant":{"a":1,"a":2}}', b'{"x":1.5}', b'{"x":1e400}', b'{"x":' + b"9" * 4000 + b"}",
        b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd\x00",
    ),
    "not-an-object": (b"[]", b"1", b"null", b'"needle"'),
    "missing-field": (b"{}", b'{"needle":1}'),
}  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/enrolments", "/v1/warrants", "/v1/queries"])
def test_a_body_that_is_no_json_of_ours_is_refused(edge: Edge, path: str) -> None:
    for code, bodies in BODIES.items():
        for body in bodies:
            told = edge.caller.post(path, body)
            if not body:
                assert told.refusal in ((422, code), (401, "wrong-digest"))
                continue
            assert told.refusal == (422, code), body[:40]
            assert told.value["detail"]
            assert "needle" not in str(told)


@pytest.mark.parametrize("path", ["/v1/enrolments", "/v1/warrants", "/v1/queries", "/v1/batches"])
def test_a_body_that_is_too_large_is_refused_by_its_length(edge: Edge, path: str) -> None:
    headers, body = edge.batch()
    given = headers if path == "/v1/batches" else JSON
    signed = edge.caller.signed("POST", path, given, body)
    lines = [f"POST {path} HTTP/1.1", f"Host: {edge.caller.web.authority}"]
    lines += [f"{name}: {value}" for name, value in signed.items()]
    lines += [f"Content-Length: {(64 << 20) + 1}", "", ""]
    with socket.create_connection(("127.0.0.1", edge.caller.web.port), timeout=5) as connection:
        connection.sendall("\r\n".join(lines).encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code": "too-large"' in answer


def test_the_table_of_good_calls_has_no_door_that_is_gone() -> None:
    assert sorted(TAKEN) == sorted(DOORS)
