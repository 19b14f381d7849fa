"""A small web and engine that keep the investigator's contract, over real HTTP on loopback.

It stands for the keepers too: a question is checked as they check it, and answered with a package
that every check of icr-verify passes, sealed to the warrant's recipients.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from icrstore.seal.encode import enc
from icrstore.warrant.authority import Granted, check_request, check_warrant
from icrstore.warrant.dsse import Envelope, key_id, raw_public
from icrstore.warrant.statements import AccountSelector, Request, Warrant
from icrstore.warrant.strict import Fields, StatementError, dump, encode_base64, parse_object
from icrstore.wire import hpke
from tests.collector.loopback import Loopback, Refused
from tests.verify import genuine

Package = dict[str, Any]


@dataclass
class Lodged:
    envelope: Envelope
    warrant: Warrant


@dataclass
class FakeWeb(Loopback):
    """``polls`` are answered "running" before the answer; ``refusals`` are the keepers'."""

    polls: int = 1
    busy: int = 0
    refusals: list[dict[str, str]] = field(default_factory=list)
    state: str = "answered"
    detail: str | None = None
    spoil: Callable[[Package], Package] = lambda package: package
    named: tuple[str, ...] = ("household-1",)  # whom addresses resolve to
    answer_with: Callable[[dict[str, Any]], dict[str, Any]] = lambda answer: answer
    records: tuple[int, ...] | None = None
    warrants: dict[bytes, Lodged] = field(default_factory=dict)
    requests: dict[str, tuple[Envelope, Lodged, list[Envelope]]] = field(default_factory=dict)
    persons: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.listen()

    def public_keys(self) -> list[bytes]:
        return sorted(self.persons)

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        fields = Fields(parse_object(body)) if body else Fields({})
        grants = self._grants(fields) if body else []
        self.verify(method, path, headers, body)
        if self.busy:
            self.busy -= 1
            raise Refused(503, "busy")
        if (method, path) == ("POST", "/v1/warrants"):
            return 201, self._lodge(fields, grants)
        if (method, path) == ("POST", "/v1/queries"):
            return 202, self._queue(fields, grants)
        _, version, queries, query, *rest = path.split("/")
        if (method, version, queries) != ("GET", "v1", "queries") or query not in self.requests:
            raise Refused(404, "unknown-query")
        return 200, self._disclosure(query) if rest == ["disclosure"] else self._status(query)

    def _grants(self, fields: Fields) -> list[Envelope]:
        made = fields.items("grants", lambda value, at: Envelope.read(value, "grant", at), 1)
        root = raw_public(genuine.key_of("root"))
        granted = self._checked(lambda: Granted.check(made, "police", root, self.now()))
        self.persons |= {grant.key for grant in granted.grants}
        return list(made)

    def _checked(self, check: Callable[[], Any]) -> Any:
        try:
            return check()
        except StatementError as error:
            raise Refused(403, error.code) from None

    def _granted(self, grants: list[Envelope]) -> Granted:
        root = raw_public(genuine.key_of("root"))
        return Granted.check(grants, "police", root, self.now())

    def _lodge(self, fields: Fields, grants: list[Envelope]) -> dict[str, Any]:
        envelope = Envelope.read(fields.take("warrant"), "warrant")
        granted = self._granted(grants)
        warrant = self._checked(lambda: check_warrant(envelope, granted, self.now()))
        assert fields.text("tenant") == warrant.tenant
        fields.finish()
        self.warrants[envelope.sha256] = Lodged(envelope, warrant)
        return {"warrant_sha256": envelope.sha256.hex()}

    def _queue(self, fields: Fields, grants: list[Envelope]) -> dict[str, Any]:
        envelope = Envelope.read(fields.take("request"), "request")
        assert fields.text("tenant")
        fields.finish()
        lodged = self.warrants.get(Request.parse(envelope).warrant_sha256)
        if lodged is None:
            raise Refused(404, "unknown-warrant")
        sha256, granted = lodged.envelope.sha256, self._granted(grants)
        self._checked(lambda: check_request(envelope, lodged.warrant, sha256, granted, self.now()))
        self.requests[envelope.sha256.hex()] = (envelope, lodged, grants)
        return {"query": envelope.sha256.hex()}

    def _status(self, query: str) -> dict[str, Any]:
        state = "running" if self.polls else self.state
        self.polls = max(0, self.polls - 1)
        return {"query": query, "state": state, "keepers": self.refusals, "detail": self.detail}

    def package(self, query: str) -> Package:
        """All that proves the answer to this query."""
        request, lodged, grants = self.requests[query]
        parsed = Request.parse(request)
        asked = tuple(s.account for s in parsed.selectors if isinstance(s, AccountSelector))
        accounts = self.named if asked == () else asked
        made = genuine.Story(
            lodged.warrant, parsed, grants, accounts=accounts, answer=self.answer_with,
            records=self.records,
        )  # fmt: skip
        return self.spoil(made.package(lodged.envelope, request))

    def _disclosure(self, query: str) -> dict[str, Any]:
        package, info = dump(self.package(query)), enc(b"icr/v1/answer", bytes.fromhex(query))
        recipients = self.requests[query][1].warrant.recipient_keys
        sealed = [
            {"keyid": key_id(key), "sealed": encode_base64(hpke.seal(key, info, package))}
            for key in recipients
        ]
        return {"sealed": sealed}
