"""A small store that keeps the collector's contract: it opens, checks and counts what it is sent.

It stands for the web, the sealers and both keepers at once, over real HTTP on loopback, and has a
list of faults that it commits in order, one a push.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.flow import Scope, validate
from icrstore.flow.gaps import Gap
from icrstore.seal.epoch import hour_start
from icrstore.seal.intake import IntakeChain, IntakeKeyGone, batch_info, hour_number, hour_of
from icrstore.vault.bodies import Content, read_content
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import IntakeKey, Receipt
from icrstore.warrant.strict import time_text
from icrstore.wire import hpke
from icrstore.wire.signatures import Verified
from tests.collector.loopback import Dropped, Loopback, Refused

TENANT, COLLECTOR = "isp-a", "edge-1"
REQUIRED = (
    "content-type",
    "content-digest",
    "idempotency-key",
    "batch-sequence",
    "batch-scope",
    "intake-key",
)
# As the store has it: a batch of before 2000 is refused.
HOUR = r"\"(2\d{3}-\d\d-\d\dT\d\d:00:00Z)\""


def key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def public(name: str) -> bytes:
    return key(name).public_key().public_bytes_raw()


@dataclass
class Held:
    """A batch as the store has it."""

    receipt: Envelope
    records: list[tuple[Any, ...]]
    rejected: dict[str, int]
    body_sha256: bytes
    stream: str
    n: int
    asked: int = 0


@dataclass
class FakeStore(Loopback):
    """``faults`` are taken one a push; ``on_push`` is told of each push once it is committed.

    ``unopened`` batches are accepted but then the sealer cannot open them; who asks is told
    ``set_aside`` times that no sealer survives the batch.
    """

    collector_key: bytes
    clock_ahead: timedelta = timedelta(0)
    asks_before_sealed: int = 1
    faults: list[str] = field(default_factory=list)
    on_push: Callable[[int], None] = lambda _count: None
    sealed_by: str = "sealer"
    accepted_by: str = "receipts"
    intake_by: str = "sealer"
    intake_hours_ago: int = 0
    change_receipt: Callable[[Receipt], Receipt] = lambda receipt: receipt
    unopened: int = 0
    set_aside: int = 0
    backfilled: list[tuple[datetime, datetime]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    held: dict[str, Held] = field(default_factory=dict)
    pushes: int = 0
    bodies: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chain = IntakeChain(hour_number(self.now()) - 2, b"k" * 32)
        self.listen()

    @property
    def records(self) -> list[tuple[Any, ...]]:
        return [record for each in self.held.values() for record in each.records]

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        verified = self.verify(method, path, headers, body, REQUIRED if method == "POST" else ())
        if (method, path) == ("GET", "/v1/intake-key"):
            return 200, self._intake_key()
        if (method, path) == ("POST", "/v1/batches"):
            return self._push(verified, body)
        if method == "GET" and path.startswith("/v1/batches/"):
            return 200, self._ask(path.removeprefix("/v1/batches/"))
        raise Refused(404, "not-found")

    def public_keys(self) -> list[bytes]:
        return [self.collector_key]

    def _intake_key(self) -> dict[str, Any]:
        number = max(hour_number(self.now()) - self.intake_hours_ago, self._chain.number)
        made = IntakeKey(hour_of(number), self._chain.key_pair(number).public_bytes())
        signed = Envelope.sign("intake-key", made.to_fields(), key(self.intake_by))
        return {
            "intake_key": signed.to_object(),
            "server_time": time_text(self.now()),
            "shards": 1,
            "tenant": TENANT,
            "collector": COLLECTOR,
        }

    def _push(self, verified: Verified, body: bytes) -> tuple[int, Any]:
        self.pushes += 1
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "drop-request":
            raise Dropped
        if fault.startswith("refuse-"):
            number, code = fault.removeprefix("refuse-").split("-", 1)
            raise Refused(int(number), code)
        if fault == "key-gone":
            self._chain = self._chain.advance(hour_number(self.now()))
        status, held = self._accept(verified.covered, body)
        self.on_push(self.pushes)
        if fault == "drop-ack":
            raise Dropped
        if fault == "take-and-refuse":
            raise Refused(413, "")
        return status, {"receipt": held.receipt.to_object()}

    def _accept(self, covered: Any, body: bytes) -> tuple[int, Held]:
        batch = _match(r'"([0-9a-f]{32})"', covered["idempotency-key"])[1]
        if batch in self.held:
            return 200, self.held[batch]
        sequence = _match(r'stream="([a-z0-9-]{1,64})", n=(\d+)', covered["batch-sequence"])
        stream, n = sequence[1], int(sequence[2])
        if any((each.stream, each.n) == (stream, n) for each in self.held.values()):
            raise Refused(409, "sequence-used")
        scope = _match(rf"shard=0, first={HOUR}, last={HOUR}", covered["batch-scope"])
        content = self._open(batch, covered["intake-key"], body)
        table = content.records
        first, last = (datetime.fromisoformat(scope[n]) for n in (1, 2))
        for gap in content.gaps:
            assert first <= gap.first <= gap.last < last + timedelta(hours=1)
            assert last - first <= timedelta(hours=49)
            assert gap.last <= self.now()
        verdict = validate(
            table, now=self.now(), backfilled=self.backfilled, scope=Scope(first, last)
        )
        sha256 = hashlib.sha256(body).digest()
        receipt = self._receipt("accepted", batch, sha256, stream, n)
        rows = [tuple(row.values()) for row in verdict.good.to_pylist()]
        self.gaps += content.gaps
        held = Held(receipt, rows, dict(verdict.rejected), sha256, stream, n)
        if self.unopened:
            self.unopened -= 1
            held.records, held.rejected = [], {"batch-does-not-open": 1}
        self.bodies.append(body)
        self.held[batch] = held
        return 202, held

    def _open(self, batch: str, intake: str, body: bytes) -> Content:
        hour = datetime.fromisoformat(_match(f"hour={HOUR}", intake)[1])
        try:
            private = self._chain.key_pair(hour_number(hour))
        except IntakeKeyGone:
            raise Refused(409, "intake-key-gone") from None
        frame = hpke.open_(private, batch_info(TENANT, COLLECTOR, bytes.fromhex(batch)), body)
        return read_content(frame)

    def _ask(self, batch: str) -> dict[str, Any]:
        if batch not in self.held:
            raise Refused(404, "unknown-batch")
        held = self.held[batch]
        held.asked += 1
        sealed = None
        if self.set_aside:
            self.set_aside -= 1
            return {
                "batch_id": batch, "state": "set-aside", "receipt": held.receipt.to_object(),
                "sealed_receipt": None, "rejected": {"batch-poison": 1},
            }  # fmt: skip
        if held.asked > self.asks_before_sealed:
            sealed = self._receipt(
                "sealed", batch, held.body_sha256, held.stream, held.n, held
            ).to_object()
        return {
            "batch_id": batch,
            "state": "sealed" if sealed else "accepted",
            "receipt": held.receipt.to_object(),
            "sealed_receipt": sealed,
            "rejected": held.rejected,
        }

    def _receipt(
        self, state: str, batch: str, sha256: bytes, stream: str, n: int, held: Held | None = None
    ) -> Envelope:
        made = Receipt(
            state, TENANT, COLLECTOR, bytes.fromhex(batch), stream, n, 0,
            hour_start(self.now()), hour_start(self.now()), self.now(), sha256,
            records=len(held.records) if held else 0, rejected=held.rejected if held else None,
        )  # fmt: skip
        signer = self.sealed_by if state == "sealed" else self.accepted_by
        return Envelope.sign("receipt", self.change_receipt(made).to_fields(), key(signer))


def _match(form: str, value: str) -> "re.Match[str]":
    made = re.fullmatch(form, value, re.ASCII)
    if made is None:
        raise Refused(400, "malformed-header")
    return made
