"""The description of all doors as a page: `api/openapi.json`, made into HTML on the server."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from api.document import document
from api.pages.access import HEADERS

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """A body as the page shows it: of which type, its members and an example."""

    media_type: str
    members: tuple[str, ...]
    example: str

    @classmethod
    def of(cls, content: Object) -> "tuple[Shown, ...]":
        return tuple(
            cls(media_type, _members(described.get("schema", {})), _example(described))
            for media_type, described in content.items()
        )


@dataclass(frozen=True)
class Answer:
    """What a call may be answered: when, with which header fields, body and codes."""

    status: str
    description: str
    headers: tuple[str, ...]
    codes: tuple[str, ...]
    bodies: tuple[Shown, ...]

    @classmethod
    def all(cls, responses: Object) -> "tuple[Answer, ...]":
        return tuple(cls._of(status, _found(one)) for status, one in responses.items())

    @classmethod
    def _of(cls, status: str, response: Object) -> "Answer":
        content = response.get("content", {})
        problem = content.get("application/problem+json", {}).get("schema", {})
        codes = problem.get("properties", {}).get("code", {}).get("enum", ())
        # The members of a problem are told once, for all of them.
        bodies = tuple(replace(body, members=()) if codes else body for body in Shown.of(content))
        headers = tuple(response.get("headers", {}))
        return cls(status, response["description"], headers, tuple(codes), bodies)


@dataclass(frozen=True)
class Call:
    """One method of one path."""

    method: str
    path: str
    told: Object
    parameters: tuple[Object, ...]
    bodies: tuple[Shown, ...]
    answers: tuple[Answer, ...]

    @property
    def is_signed(self) -> bool:
        return "security" in self.told


@require_GET
def docs(request: HttpRequest) -> HttpResponse:
    response = render(request, "docs.html", _said())
    for name, value in HEADERS.items():
        response[name] = value
    return response


@cache
def _said() -> dict[str, Any]:
    described = document()
    return {
        "described": described,
        "signing": described["x-signing"],
        "signing_example": described["x-signing-example"],
        "problem_members": _members(described["components"]["schemas"]["Problem"]),
        "codes": sorted(described["x-codes"].items()),
        "rejected": described["x-rejected"].items(),
        "any_call": Answer.all(described["x-any-call"]["responses"]),
        "audiences": [
            (tag, [call for call in _calls() if tag["name"] in call.told["tags"]])
            for tag in described["tags"]
        ],
    }


def _calls() -> Iterator[Call]:
    for path, methods in document()["paths"].items():
        for method, told in methods.items():
            yield Call(
                method.upper(),
                path,
                told,
                tuple(_found(one) for one in told.get("parameters", ())),
                Shown.of(told.get("requestBody", {}).get("content", {})),
                Answer.all(told["responses"]),
            )


def _found(described: Object) -> Object:
    """What a reference within the document means."""
    place: Any = document()
    if "$ref" not in described:
        return described
    for name in described["$ref"].removeprefix("#/").split("/"):
        place = place[name]
    return {**place, **{name: value for name, value in described.items() if name != "$ref"}}


def _members(schema: Object) -> tuple[str, ...]:
    """Each member with what it is, as a line."""
    whole = _found(schema)
    required = whole.get("required", ())
    return tuple(
        f"{name}{'' if name in required else ' (may be absent)'}: {_kind(value)}"
        for name, value in whole.get("properties", {}).items()
    )


def _kind(schema: Object) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    name = schema.get("$ref", "").rpartition("/")[2]
    whole = _found(schema)
    if "enum" in whole:
        return " | ".join(map(str, whole["enum"]))
    if whole.get("type") == "array":
        return f"list of {_kind(whole['items'])}"
    if "const" in whole:
        return f"always {whole['const']}"
    said = whole.get("description") or whole.get("pattern") or whole.get("type", "")
    return f"{name}: {said}" if name and said else name or said


def _example(content: Object) -> str:
    example = content.get("example")
    return json.dumps(example, indent=2, ensure_ascii=False) if example is not None else ""
