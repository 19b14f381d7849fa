"""Holds answers against `api/openapi.json`: what is not written there may not be answered."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from jsonschema import Draft202012Validator

from api.document import document

Object = Mapping[str, Any]
JSON = ("application/json", "application/problem+json")


def check_answer(
    method: str, target: str, status: int, headers: Iterable[str], media_type: str, body: bytes
) -> None:
    """Raise AssertionError, saying what to add, unless this call may be answered like this."""
    call, told = operation(method, target)
    response = told.get("responses", {}).get(str(status))
    common = document()["x-any-call"]["responses"].get(str(status))
    if response is None and common is None:
        raise AssertionError(_add(f"{call} answered {status}", f"responses.{status}"))
    _check_headers(call, status, response or {}, headers)
    allowed = [found(one).get("content", {}) for one in (response, common) if one is not None]
    _check_content(f"{call} answered {status}", allowed, media_type, body)


def operation(method: str, target: str) -> tuple[str, Object]:
    """What the document says of a call; nothing for a path or method that it does not have."""
    # RFC 9112, section 3.2: a path as it is, or one behind a scheme and a name.
    path = unquote(urlsplit(target).path if "://" in target else target.partition("?")[0])
    for template, methods in document()["paths"].items():
        # A tile's name is the one that holds slashes.
        pattern = re.sub(r"\{\w+\}", "[^/]+", template.replace("{tile}", ".+"))
        if re.fullmatch(pattern, path):
            return f"{method} {template}", methods.get(method.lower(), {})
    return f"{method} of no such path", {}


def found(described: Object) -> Object:
    """What a reference within the document means."""
    place: Any = document()
    if "$ref" not in described:
        return described
    for name in described["$ref"].removeprefix("#/").split("/"):
        place = place[name]
    return dict(place)


def errors(schema: Object, value: Any) -> Iterator[str]:
    """Why the value is not as the schema says, in words for whoever must mend one of them."""
    rooted = {"$ref": "#/schema", "schema": schema, "components": document()["components"]}
    for error in Draft202012Validator(rooted).iter_errors(value):
        yield f"{error.json_path}: {error.message}"


def _check_headers(call: str, status: int, response: Object, headers: Iterable[str]) -> None:
    told = {*found(response).get("headers", {}), *document()["x-any-call"]["headers"]}
    for name in {name.lower() for name in headers} - {name.lower() for name in told}:
        place = f"responses.{status}.headers"
        raise AssertionError(_add(f"{call} answered with the header {name}", place))


def _check_content(answered: str, allowed: Iterable[Object], media_type: str, body: bytes) -> None:
    described = [content[media_type] for content in allowed if media_type in content]
    if not described:
        raise AssertionError(_add(f"{answered} with {media_type}", f"content.{media_type}"))
    if media_type not in JSON:
        return
    wrong = [list(errors(one.get("schema", {}), json.loads(body))) for one in described]
    if all(wrong):
        shown = "; ".join(wrong[0][:3])
        raise AssertionError(_add(f"{answered} with another body: {shown}", "its schema"))


def _add(what: str, where: str) -> str:
    return f"{what}, which api/openapi.json does not have: add {where} there, or do not answer so"
