"""Lodges warrants, puts requests, waits for answers: the desk's calls to the store's web API."""

import re
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from icrstore.desk.papers import WarrantPaper
from icrstore.shell.client import (
    Patience,
    Server,
    fields_of,
    not_understood,
    problem,
    retry_after,
)
from icrstore.shell.keyfile import KeyFile
from icrstore.shell.stop import DATA, REFUSED, UNAVAILABLE, USAGE, Stop
from icrstore.verify import icr_verify
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.scope import check_within
from icrstore.warrant.statements import HourRange, Request, Selector, Target
from icrstore.warrant.strict import Fields, StatementError, dump, encode_base64
from icrstore.wire.errors import CallFailed
from icrstore.wire.httpunix import Response

WAIT_SECONDS = 600.0
STATES = ("queued", "running", "answered", "refused", "failed")
_CODE = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


@dataclass(frozen=True)
class Query:
    """A question that was put, and what became of it so far."""

    id: str
    state: str
    refusals: tuple[tuple[str, str], ...]
    detail: str

    @classmethod
    def read(cls, fields: Fields) -> "Query":
        """Raises `StatementError`."""
        return cls(
            id=fields.hexadecimal("query", 32).hex(),
            state=fields.one_of("state", STATES),
            refusals=fields.items("keepers", _refusal, 0, 16) if fields.has("keepers") else (),
            detail=str((fields.take("detail") if fields.has("detail") else None) or ""),
        )

    def lines(self) -> list[str]:
        verb = "failed" if self.state == "failed" else "refused"
        made = [f"query {self.id}: {self.state}"]
        for keeper, code in self.refusals:
            name = "engine" if keeper == "engine" else f"{keeper} keeper"
            made.append(f"  the {name} {verb}: {code}")
        return made + ([f"  {printable(self.detail)}"] if self.detail else [])

    def to_object(self) -> dict[str, Any]:
        keepers = [{"keeper": keeper, "code": code} for keeper, code in self.refusals]
        return {"query": self.id, "state": self.state, "keepers": keepers, "detail": self.detail}


def _refusal(value: Any, place: str) -> tuple[str, str]:
    fields = Fields(value, place)
    keeper, code = fields.text("keeper", 64), fields.text("code", 64)
    return printable(keeper), code if _CODE.fullmatch(code) else "refused"


def printable(value: Any) -> str:
    """Text from elsewhere as a terminal may show it: nothing that could steer one."""
    return "".join(each if each.isprintable() else "?" for each in str(value))


class Desk:
    """The store as one person at a desk speaks to it. Every method raises `Stop`."""

    def __init__(self, url: str, key: KeyFile) -> None:
        self._server = Server(url, key.signing())
        self._key = key
        self._patience = Patience(WAIT_SECONDS)

    def lodge(self, paper: WarrantPaper, grants: Sequence[Envelope]) -> str:
        """Lodge a warrant that two people signed; its SHA-256 in hex."""
        value = {
            "tenant": paper.warrant.tenant,
            "warrant": paper.envelope.to_object(),
            "grants": [grant.to_object() for grant in grants],
        }
        fields = fields_of(self._call("/v1/warrants", value, (200, 201)))
        try:
            told = fields.hexadecimal("warrant_sha256", 32)
        except StatementError as error:
            raise not_understood(error) from None
        if told != paper.envelope.sha256:
            raise Stop(DATA, "the server lodged another warrant than this one: do not use it")
        return told.hex()

    def put(self, paper: WarrantPaper, request: Envelope, grants: Sequence[Envelope]) -> str:
        """Put a signed request; the query's id, which is the request's SHA-256 in hex."""
        value = {
            "tenant": paper.warrant.tenant,
            "request": request.to_object(),
            "grants": [grant.to_object() for grant in grants],
        }
        fields = fields_of(self._call("/v1/queries", value, (200, 202)))
        try:
            told = fields.hexadecimal("query", 32)
        except StatementError as error:
            raise not_understood(error) from None
        if told != request.sha256:
            raise Stop(DATA, "the server queued another request than this one")
        return told.hex()

    def status(self, query: str) -> Query:
        if not re.fullmatch(r"[0-9a-f]{64}", query, re.ASCII):
            raise Stop(USAGE, f"{printable(query)[:70]}: no query: give the 64 digits of its id")
        response = self._call(f"/v1/queries/{query}", None, (200,))
        try:
            return Query.read(fields_of(response))
        except StatementError as error:
            raise not_understood(error) from None

    def wait(self, query: str) -> Query:
        """Until it is answered; a refusal or failure is a `Stop` that says whose and why."""
        started, shows = time.monotonic(), sys.stderr.isatty()
        while (made := self.status(query)).state in ("queued", "running"):
            if shows:
                seconds = int(time.monotonic() - started)
                line = f"\rquery {query[:8]}: {made.state}, {seconds} s\033[K"
                print(line, end="", file=sys.stderr, flush=True)
            if not self._patience.wait():
                raise Stop(UNAVAILABLE, f"no answer yet: see `icr status {query}` later")
        if shows:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        check_answered(made)
        return made

    def fetch(self, query: str) -> bytes:
        """The sealed answer with the query's id, as `icr open` reads it."""
        response = self._call(f"/v1/queries/{query}/disclosure", None, (200,))
        try:
            sealed = SEALED(icr_verify.read_json(response.body))["sealed"]
        except icr_verify.Wrong as error:
            raise Stop(DATA, f"the sealed answer is not understood: {error}") from None
        items = [
            {"keyid": each["keyid"].hex(), "sealed": encode_base64(each["sealed"])}
            for each in sealed
        ]
        return dump({"query": query, "sealed": items})

    def read(self, target: str, headers: Mapping[str, str]) -> bytes:
        """What stands there; ``headers`` are signed with the call."""
        return self._call(target, None, (200,), headers).body

    def _call(
        self, target: str, value: dict[str, Any] | None, good: tuple[int, ...],
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Response:  # fmt: skip
        """A good answer, once the server has time for us."""
        while True:
            response = self._attempt(target, value, headers)
            if response.status in good:
                return response
            if response.status not in (429, 503):
                raise _refused(response)
            if not self._patience.wait(retry_after(response)):
                raise Stop(UNAVAILABLE, "the server is busy: try again later")

    def _attempt(
        self, target: str, value: dict[str, Any] | None, headers: Mapping[str, str]
    ) -> Response:
        try:
            if value:
                return self._server.post(target, value)
            return self._server.call("GET", target, headers, b"")
        except CallFailed as error:
            why = f"the server does not answer ({error.reason}): is --server right?"
            raise Stop(UNAVAILABLE, why) from None


_SEALED_ITEM = icr_verify.shape(keyid=icr_verify.hexadecimal(8), sealed=icr_verify.base64_bytes())
SEALED = icr_verify.shape(sealed=icr_verify.list_of(_SEALED_ITEM))
SEALED_FILE = icr_verify.shape(
    query=icr_verify.hexadecimal(32), sealed=icr_verify.list_of(_SEALED_ITEM)
)


@dataclass(frozen=True)
class Asked:
    """What a request is about."""

    selectors: tuple[Selector, ...]
    targets: tuple[Target, ...]
    hours: tuple[HourRange, ...]


def make_request(paper: WarrantPaper, key: KeyFile, asked: Asked, *, is_urgent: bool) -> Envelope:
    """A signed request within its warrant. Raises `Stop` with what reaches outside."""
    request = Request(
        request_id=secrets.token_bytes(16),
        warrant_sha256=paper.envelope.sha256,
        selectors=asked.selectors,
        targets=asked.targets,
        hours=asked.hours,
        urgent=is_urgent,
        nonce=secrets.token_bytes(16),
        created=datetime.now(UTC).replace(microsecond=0),
    )
    envelope = Envelope.sign("request", request.to_fields(), key.signing())
    try:
        check_within(Request.parse(envelope), paper.warrant)
    except StatementError as error:
        mend = "ask for what `icr warrant show` shows, or for less of it at once"
        raise Stop(DATA, f"the request is not one of this warrant ({error}): {mend}") from None
    return envelope


def check_answered(query: Query) -> None:
    """Raises `Stop`: 77 where a keeper refused, 69 where the engine failed."""
    if query.state == "refused":
        raise Stop(REFUSED, "\n".join(query.lines()))
    if query.state == "failed":
        raise Stop(UNAVAILABLE, "\n".join([*query.lines(), "  put the request again, or later"]))


def _refused(response: Response) -> Stop:
    """What a refusal of the web API means for whoever asked."""
    code, keeper, detail = problem(response)
    said = " ".join(filter(None, (f"the {keeper} keeper" if keeper else "the server", "refused:",
                                  code or str(response.status), detail)))  # fmt: skip
    if response.status in (401, 403):
        return Stop(REFUSED, f"{said}: is this key granted, and its grant given by --grant?")
    if response.status == 404:
        return Stop(DATA, f"{said}: nothing there under this id for this key")
    return Stop(UNAVAILABLE if response.status >= 500 else DATA, said)
