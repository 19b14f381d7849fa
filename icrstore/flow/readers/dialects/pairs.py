"""Fields that a line names itself: key=value, structured data, CEF extensions, JSON.

What a line names twice is refused, and so is a line in which something stands between the fields:
whoever breaks out of a quoted value could name a field of their own.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from ..json_lines import SURROGATE


class NotUnderstood(Exception):
    """The line's fields cannot be told; its one argument is the reason."""


Pairs = Callable[[str, int], dict[str, str]]

# Each pattern's third group is what is no field.
_EQUALS = re.compile(r'([\w.-]{1,64})=("[^"]*"|[^\s"]*)(?:\s+|$)|(.)', re.ASCII | re.DOTALL)
_QUOTED = r'[^"\\]*(?:\\.[^"\\]*)*'
_STRUCTURED = re.compile(rf'([\w.-]{{1,64}})="({_QUOTED})"(?: +|\] *$)|(.)', re.ASCII | re.DOTALL)
_ATTRIBUTES = re.compile(rf'([\w.-]{{1,64}}) [:+]?= ("{_QUOTED}"|[^\t"]*)(?:\t|$)|(.)', re.ASCII)
# A value of CEF may have spaces; it ends where the next key begins.
_CEF = re.compile(
    r"([\w.-]{1,64})=([^ =\\]*(?:(?:\\.| (?![\w.-]{1,64}=))[^ =\\]*)*)(?: |$)|(.)", re.ASCII
)
_ESCAPE = re.compile(r"\\(.)")


def plain(value: str) -> str:
    """The value without its quotes."""
    return value[1:-1] if value[:1] == '"' else value


def _by(pattern: re.Pattern[str], *, has_escapes: bool) -> Pairs:
    def fields(line: str, start: int) -> dict[str, str]:
        found = pattern.findall(line, start)
        made = {name: value for name, value, _ in found}
        if has_escapes and "\\" in line:
            made = {name: _ESCAPE.sub(r"\1", value) for name, value in made.items()}
        if "" in made:
            raise NotUnderstood("not-understood")
        if len(made) != len(found):
            raise NotUnderstood("duplicate-field")
        return made

    return fields


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotUnderstood("duplicate-field")
    return made


_JSON = json.JSONDecoder(parse_float=str, parse_int=str, object_pairs_hook=_each_once)


def _json(line: str, start: int) -> dict[str, str]:
    """An object's fields, those of an object in it as ``outer.inner``."""
    try:
        value = _JSON.decode(line[start:])
    except (ValueError, RecursionError):
        raise NotUnderstood("not-json") from None
    if not isinstance(value, dict):
        raise NotUnderstood("not-understood")
    flat: dict[str, str] = {}
    for name, held in value.items():
        if isinstance(held, dict):
            for inner, text in held.items():
                flat[f"{name}.{inner}"] = text if isinstance(text, str) else ""
        else:
            flat[name] = held if isinstance(held, str) else ""
    if "\\u" in line and SURROGATE.search("".join([*flat, *flat.values()])):
        raise NotUnderstood("not-understood")
    return flat


PAIRS: dict[str, Pairs] = {
    "equals": _by(_EQUALS, has_escapes=False),
    "structured": _by(_STRUCTURED, has_escapes=True),
    "cef": _by(_CEF, has_escapes=True),
    "attributes": _by(_ATTRIBUTES, has_escapes=True),
    "json": _json,
}
