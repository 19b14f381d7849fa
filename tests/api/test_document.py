"""The interface as it is written down is the interface as it is: no more and no less."""

import ast
import html
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client
from django.urls.resolvers import URLPattern
from rest_framework.views import APIView

from api.document import PATH, document
from icrstore.flow.elements import BINDING_ELEMENTS, ELEMENTS
from icrstore.inbox.plain import FORMATS
from icrstore.urls import urlpatterns
from icrstore.vault import plain_bodies
from icrstore.wire.digest import content_digest_of
from icrstore.wire.problem import TITLES
from icrstore.wire.signatures import verify_request
from tests.api.codes import ROOT, raised
from tests.api.document import check_answer, errors, found
from tests.api.web import Web

METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")


def template(pattern: URLPattern) -> str:
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))


def methods(pattern: URLPattern) -> list[str]:
    """Of a Django REST framework view, and of a page under `require_GET` or `require_POST`."""
    view = getattr(pattern.callback, "cls", None)
    if view is not None and issubclass(view, APIView):
        return [name for name in METHODS if name in view.http_method_names and hasattr(view, name)]
    allowed = {
        name
        for cell in pattern.callback.__closure__ or ()
        if isinstance(cell.cell_contents, list)
        for name in cell.cell_contents
    }
    return [name for name in METHODS if name.upper() in allowed]


def answers() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(call, status, response) of every call, and of any."""
    yield from (
        ("any call", status, response)
        for status, response in document()["x-any-call"]["responses"].items()
    )
    for path, calls in document()["paths"].items():
        for method, call in calls.items():
            for status, response in call["responses"].items():
                yield f"{method} {path}", status, dict(found(response))


def codes(response: dict[str, Any]) -> set[str]:
    problem = response.get("content", {}).get("application/problem+json", {})
    return set(problem.get("schema", {}).get("properties", {}).get("code", {}).get("enum", ()))


def test_every_door_is_in_the_document_and_nothing_else_is() -> None:
    doors = {(template(pattern), name) for pattern in urlpatterns for name in methods(pattern)}
    written = {(path, name) for path, calls in document()["paths"].items() for name in calls}
    for path, method in doors - written:
        pytest.fail(
            f"{method.upper()} {path} has no description: add it to `paths` in api/openapi.json, "
            "with tags, operationId, summary and responses, as GET /healthz has them"
        )
    assert written == doors, "api/openapi.json describes a door that icrstore/urls.py has not"
    assert len(doors) >= len(urlpatterns)


def test_every_code_that_a_door_can_raise_is_in_the_document_at_its_status() -> None:
    written: dict[int, set[str]] = {}
    for _, status, response in answers():
        written.setdefault(int(status), set()).update(codes(response))
    seen = list(raised())
    assert len({one.code for one in seen}) > 70
    for one in seen:
        assert one.code in written.get(one.status, set()), (
            f"{one.place} refuses with {one.status} {one.code}: add it in api/openapi.json to the "
            f"`code` enum of that status where it can be answered, and its mend to `x-codes`"
        )
    told = {(status, code) for status, each in written.items() for code in each}
    assert told <= {(one.status, one.code) for one in seen}, "nothing raises that"
    assert set(document()["x-codes"]) == {code for _, code in told}, "`x-codes` has each code once"


def test_every_reason_for_which_a_record_falls_out_is_in_the_document() -> None:
    source = {
        "icrstore/flow/validate.py": r"[a-z]+(-[a-z0-9]+)+",
        "icrstore/vault/sealer.py": r"batch-[a-z-]+",
        "icrstore/vault/plain_bodies.py": r"batch-[a-z-]+[a-z]|nat-event",
        "api/collectors.py": r"batch-[a-z-]+",
    }
    elements = (*ELEMENTS, *BINDING_ELEMENTS)
    reasons = {f"{one.name.replace('_', '-')}-missing" for one in elements if one.required}
    for path, pattern in source.items():
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.Constant) and re.fullmatch(pattern, str(node.value)):
                reasons.add(str(node.value))
    reasons.discard("-missing")
    reasons |= plain_bodies.REASONS | {f"batch-not-{name}" for name in FORMATS.values()}
    assert reasons == set(document()["x-rejected"])
    schema = document()["components"]["schemas"]["Rejected"]
    assert set(schema["propertyNames"]["enum"]) == reasons


def test_every_problem_status_has_a_title() -> None:
    for call, status, response in answers():
        assert not codes(response) or int(status) in TITLES, call


def test_every_example_is_as_its_schema_says() -> None:
    seen = 0
    for place, described in with_examples(document()):
        for error in errors(described["schema"], described["example"]):
            pytest.fail(f"{place}: {error}")
        seen += 1
    assert seen > 15


def with_examples(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        if {"schema", "example"} <= value.keys():
            yield place, value
        for name, each in value.items():
            yield from with_examples(each, f"{place}.{name}")


def test_every_reference_leads_somewhere_and_every_part_is_used() -> None:
    text = PATH.read_text()
    used = set(re.findall(r'"\$ref": "#/components/(\w+)/(\w+)"', text))
    made = {(kind, name) for kind, each in document()["components"].items() for name in each}
    assert used == made - {("securitySchemes", "signature")}
    names = [
        call["operationId"] for calls in document()["paths"].values() for call in calls.values()
    ]
    assert len(names) == len(set(names))


def test_the_signed_example_verifies() -> None:
    request, *lines = document()["x-signing-example"].splitlines()
    method, target, _ = request.split()
    headers = dict(line.split(": ", 1) for line in lines)
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    made = verify_request(
        method, headers.pop("Host"), target, headers,
        resolve_key=lambda keyid: key.public_key(), now_unix_seconds=1795338000,
        required=("intake-key",),
    )  # fmt: skip
    assert made.covered["content-digest"] == content_digest_of(b"{}")


GOOD = (200, ["Content-Type"], "application/json", b'{"state": "alive"}')


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, None),
        ({0: 418}, "add responses.418"),
        ({1: ["X-Powered-By"]}, "add responses.200.headers"),
        ({2: "text/html"}, "add content.text/html"),
        ({3: b'{"state": "alive", "version": 1}'}, "'version' was unexpected"),
        ({3: b'{"state": "asleep"}'}, "'asleep' is not one of"),
    ],
)
def test_an_answer_that_is_not_in_the_document_is_found(
    changed: dict[int, Any], says: str | None
) -> None:
    status, headers, media_type, body = (changed.get(at, GOOD[at]) for at in range(4))
    if says is None:
        check_answer("GET", "/healthz?x", status, headers, media_type, body)
        return
    with pytest.raises(AssertionError, match=re.escape(says)):
        check_answer("GET", "/healthz", status, headers, media_type, body)


def test_a_code_that_the_call_does_not_have_is_found() -> None:
    body = json.dumps({"type": "about:blank", "title": "", "status": 404, "code": "no-such-batch"})
    problem = "application/problem+json"
    check_answer("GET", f"/v1/batches/{'00' * 16}", 404, (), problem, body.encode())
    with pytest.raises(AssertionError, match="no-such-batch"):
        check_answer("GET", f"/v1/queries/{'00' * 32}", 404, (), problem, body.encode())


def test_the_document_is_served_as_it_is_committed(web: Web) -> None:
    told = web.send("GET", "/v1/schema")
    assert (told.status, told.body) == (200, PATH.read_bytes())


def test_the_page_shows_every_call_header_and_code_and_loads_nothing_from_elsewhere() -> None:
    response = Client().get("/docs")
    page = html.unescape(response.content.decode())
    for path, calls in document()["paths"].items():
        for method, call in calls.items():
            assert f"{method.upper()} {path}" in page
            assert call["summary"] in page
    for code, mend in document()["x-codes"].items():
        assert f'id="code-{code}"' in page
        assert mend in page
    for reason in document()["x-rejected"]:
        assert reason in page
    for header in ("Idempotency-Key", "Batch-Sequence", "Batch-Scope", "Intake-Key", "@authority"):
        assert header in page
    assert document()["x-signing-example"] in page
    assert "<script" not in page
    assert "style=" not in page
    assert not re.findall(r'(?:src|href)="(?!#|/access\.css|/v1/schema)', page)
    for link in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{link}"' in page
    policy = response["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'")
