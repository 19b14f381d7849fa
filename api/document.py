"""The HTTP interface in words: `openapi.json` (OpenAPI 3.1), which is served, shown and tested.

A door is added there as in `icrstore.urls`; the tests in `tests/api/test_document.py` say what is
missing. Beside OpenAPI's own members it has `x-signing`, `x-any-call` (what any call may be
answered), `x-codes` (how to mend what each code of a problem refuses) and `x-rejected` (why records
of a batch are not sealed).
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("openapi.json")


@cache
def document() -> dict[str, Any]:
    """The whole of it, read once; nobody changes it."""
    read: dict[str, Any] = json.loads(PATH.read_bytes())
    return read


def mend(code: str) -> str:
    """What to do about a problem of this code; nothing if the document does not know it."""
    return str(document()["x-codes"].get(code, ""))
