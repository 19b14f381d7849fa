"""Pushes what the spool holds until every batch has a sealed receipt that we have verified.

A batch is waiting, then accepted, then sealed, and each step is on disk before the next begins. So
a push may be killed anywhere and run again: the server knows a batch by its id and keeps it once.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.collector.config import Config
from icrstore.collector.frames import Frames
from icrstore.collector.spool import Spool, Spooled
from icrstore.flow.validate import HOUR, OLDEST
from icrstore.seal.epoch import hour_start
from icrstore.seal.intake import batch_info
from icrstore.shell.client import (
    Patience,
    Server,
    fields_of,
    not_understood,
    problem,
    retry_after,
)
from icrstore.shell.stop import DATA, REFUSED, TEMPORARY, Stop
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import IntakeKey, Receipt
from icrstore.warrant.strict import Fields, StatementError, time_text
from icrstore.wire import hpke
from icrstore.wire.errors import CallFailed
from icrstore.wire.httpunix import Response

# Told (event, batch or None, what more there is to say).
Tell = Callable[[str, Spooled | None, dict[str, object]], None]


@dataclass(frozen=True)
class Intake:
    """What the server says to seal to, and whom it takes us for."""

    key: IntakeKey
    tenant: str
    collector: str


class Push:
    """One run: pushes what waits, asks after what is accepted, until all is sealed."""

    def __init__(
        self,
        config: Config,
        key: Ed25519PrivateKey,
        spool: Spool,
        wait_seconds: float,
        tell: Tell,
        sleep: Callable[[float], object] = time.sleep,
        await_news: Callable[[float], object] | None = None,
    ) -> None:
        """``sleep`` waits while the server is away or busy; ``await_news`` while what it accepted
        is not sealed, and may end as soon as there is more to push."""
        self._config = config
        self._spool = spool
        self._frames = Frames(spool, config.collector_secret())
        self._patience = Patience(wait_seconds, sleep)
        self._sealing = Patience(wait_seconds, await_news or sleep)
        self._tell = tell
        self._last_asked: dict[bytes, int] = {}
        self._set_aside: set[bytes] = set()
        self._turn = 0
        self.server = Server(config.server, key)
        self.refused: dict[bytes, str] = {}
        # What is of an hour that goes on is sealed when it has ended: False leaves it accepted.
        self.awaits_hour = True

    def run(self) -> None:
        """Until nothing is left but what is too old, and what the server refuses for good
        (``refused``: id to code).

        Raises `Stop` when the server is away for too long (75) or does not know us (77), or says
        what we cannot believe (65); the spool then holds everything that is not sealed.
        """
        self._intake = self._fetch_intake()
        while left := self._left():
            waiting = [each for each in left if each.state == "waiting"]
            for batch in waiting or left:
                if not self._step(batch):
                    break

    def hand_in(self) -> None:
        """Push what waits, and ask after nothing. Raises `Stop` as `run` does."""
        self._intake = self._fetch_intake()
        for batch in [each for each in self._left() if each.state == "waiting"]:
            self._step(batch)

    def _left(self) -> list[Spooled]:
        """What can be pushed or asked after, those first that were not asked after for longest.

        What the store would reject for its age, by the store's clock, waits for a backfill.
        """
        now = self.server.now()
        this_hour = time_text(hour_start(now))
        with self._spool.transaction():
            # Nothing is spooled in between.
            self._spool.set_too_old(hour_start(now - OLDEST) - HOUR)
            unfinished = self._spool.unfinished()
        left = [
            each
            for each in unfinished
            if each.state != "too-old"
            and each.id not in self.refused
            and (self.awaits_hour or each.state == "waiting" or each.last_hour < this_hour)
        ]
        return sorted(left, key=lambda each: self._last_asked.get(each.id, 0))

    def _step(self, batch: Spooled) -> bool:
        """Push or ask once; waits afterwards if that led nowhere, which is False."""
        is_waiting = batch.state == "waiting"
        # First, so that one whose receipt cannot be believed is not the first for ever.
        self._turn += 1
        self._last_asked[batch.id] = self._turn
        response = self._attempt(lambda: self._send(batch) if is_waiting else self._ask(batch))
        if response.status in (401, 403):
            raise _not_taken(response)
        gained = self._pushed(batch, response) if is_waiting else self._asked(batch, response)
        if gained:
            self._patience.progress()
            self._sealing.progress()
        else:
            patience = self._patience if is_waiting else self._sealing
            self._wait(patience, None, "the server has not taken or sealed everything")
        return gained

    def _attempt(self, call: Callable[[], Response]) -> Response:
        """The answer, once the server is there and has time for us."""
        while True:
            try:
                response = call()
            except CallFailed as error:
                self._wait(self._patience, None, f"the server does not answer ({error.reason})")
                continue
            if response.status != 429 and response.status < 500:
                return response
            busy = f"the server is busy ({response.status})"
            self._wait(self._patience, retry_after(response), busy)

    def _wait(self, patience: Patience, asked_seconds: float | None, why: str) -> None:
        if not patience.wait(asked_seconds):
            left = len(self._spool.unfinished())
            raise Stop(TEMPORARY, f"{why}: {left} batches stay in the spool, push again later")

    def _fetch_intake(self) -> Intake:
        """The intake key of this hour or the last, by the server's clock, signed by our sealer."""
        response = self._attempt(lambda: self.server.get("/v1/intake-key"))
        if response.status != 200:
            raise _not_taken(response)
        fields = fields_of(response)
        try:
            intake, server_time = _read_intake(fields, self._config.sealer_key)
        except StatementError as error:
            raise not_understood(error) from None
        self.server.set_clock(server_time)
        self._spool.pin("tenant", intake.tenant)
        self._spool.pin("collector", intake.collector)
        return intake

    def _send(self, batch: Spooled) -> Response:
        intake = self._intake
        info = batch_info(intake.tenant, intake.collector, batch.id)
        self._body = hpke.seal(intake.key.key, info, self._spool.frame(batch.id))
        stream, n = self._spool.number(batch.id)
        headers = {
            "Content-Type": "application/vnd.icr.batch.v1",
            "Idempotency-Key": f'"{batch.id.hex()}"',
            "Batch-Sequence": f'stream="{stream}", n={n}',
            "Batch-Scope": f'shard=0, first="{batch.first_hour}", last="{batch.last_hour}"',
            "Intake-Key": f'hour="{time_text(intake.key.hour)}"',
        }
        return self.server.call("POST", "/v1/batches", headers, self._body)

    def _pushed(self, batch: Spooled, response: Response) -> bool:
        """What the answer to a push means. True if something was gained."""
        if response.status in (200, 202):
            self._accept(batch, response)
            return True
        code = problem(response)[0]
        if code == "sequence-used":
            self._spool.renumber(batch.id)
            return False
        self._spool.take_back(batch.id)
        if code == "intake-key-gone":
            self._intake = self._fetch_intake()
            return False
        self._refuse(batch, code or str(response.status))
        return True

    def _accept(self, batch: Spooled, response: Response) -> None:
        fields = fields_of(response)
        receipt, made = self._receipt(fields, "receipt", batch, self._config.receipt_key)
        # A batch that was there before keeps its first receipt, of a body sealed anew since then.
        is_first = response.status == 202
        if is_first and made.body_sha256 != hashlib.sha256(self._body).digest():
            raise _unbelievable("the receipt is of another body")
        if made.state != "accepted":
            raise _unbelievable("the receipt does not say accepted")
        if is_first:
            self.server.set_clock(made.at)
        with self._spool.transaction():
            if (made.stream, made.sequence) != self._spool.number(batch.id):
                # It was there before, as of a spool that was lost.
                self._spool.take_back(batch.id)
            self._spool.accept(batch.id, receipt.encode())
        self._tell("accepted", batch, {"new": is_first})

    def _ask(self, batch: Spooled) -> Response:
        return self.server.get(f"/v1/batches/{batch.id.hex()}")

    def _asked(self, batch: Spooled, response: Response) -> bool:
        """What became of an accepted batch. True if it is sealed, or must be pushed again."""
        if response.status == 404:
            # The server lost it, as when restored from a backup; we still have it.
            self._spool.reopen(batch.id)
            return True
        if response.status != 200:
            raise Stop(DATA, f"the server does not say what became of a batch {_code(response)}")
        fields = fields_of(response)
        try:
            state = fields.one_of("state", ("accepted", "sealed", "set-aside"))
        except StatementError as error:
            raise not_understood(error) from None
        if state == "set-aside" and batch.id not in self._set_aside:
            # No sealer survives it, until their operator has it tried again: we keep it, and ask.
            self._set_aside.add(batch.id)
            self._spool.refuse(batch.id, "batch-poison")
            self._tell("set-aside", batch, {"code": "batch-poison"})
        is_sealed = state == "sealed"
        if is_sealed:
            self._finish(batch, fields)
        return is_sealed

    def _finish(self, batch: Spooled, fields: Fields) -> None:
        receipt, made = self._receipt(fields, "sealed_receipt", batch, self._config.sealer_key)
        accepted = Receipt.parse(Envelope.parse(batch.accepted_receipt or b"", "receipt"))
        rejected = made.rejected or {}
        if made.state != "sealed" or made.body_sha256 != accepted.body_sha256:
            raise _unbelievable("the sealed receipt is of another body")
        if whole := [reason for reason in rejected if reason.startswith("batch-")]:
            # The sealer could do nothing with the batch, so ours is the only copy.
            self._refuse(batch, whole[0])
            return
        if made.records + sum(rejected.values()) != batch.records:
            raise _unbelievable("the sealed receipt does not account for every record")
        with self._spool.transaction():
            if late := rejected.get("time-too-old"):
                # It grew too old while it waited, or a part of it was: that part is ours alone.
                self._frames.keep_late(batch, accepted.at - OLDEST, late, utc_now())
            self._spool.finish(batch.id, receipt.encode())
        self._last_asked.pop(batch.id, None)
        told = {"sealed": made.records, "rejected": dict(rejected)}
        self._tell("sealed", batch, {**told, "receipt": receipt.to_object()})

    def _refuse(self, batch: Spooled, code: str) -> None:
        """Leave a batch that the server will not have; its body stays in the spool."""
        self.refused[batch.id] = code
        self._spool.refuse(batch.id, code)
        self._tell("refused", batch, {"code": code})

    def _receipt(
        self, fields: Fields, name: str, batch: Spooled, key: bytes
    ) -> tuple[Envelope, Receipt]:
        """The receipt of this batch, signed by the key that was pinned for it."""
        try:
            signed = Envelope.read(fields.take(name), "receipt")
            signed.verify(key)
            made = Receipt.parse(signed)
        except StatementError as error:
            raise _unbelievable(f"a receipt is not what it must be ({error})") from None
        ours = (self._intake.tenant, self._intake.collector, batch.id)
        if (made.tenant, made.collector, made.batch_id) != ours:
            raise _unbelievable("a receipt is of another batch")
        return signed, made


def ask_server(config: Config, key: Ed25519PrivateKey) -> None:
    """Whether the store would take what this key signs. Raises `Stop`, as a push would."""
    try:
        response = Server(config.server, key).get("/v1/intake-key")
    except CallFailed as error:
        raise Stop(TEMPORARY, f"the server does not answer ({error.reason}): try again") from None
    if response.status != 200:
        raise _not_taken(response)
    try:
        _read_intake(fields_of(response), config.sealer_key)
    except StatementError as error:
        raise not_understood(error) from None


def _read_intake(fields: Fields, sealer_key: bytes) -> tuple[Intake, datetime]:
    signed = Envelope.read(fields.take("intake_key"), "intake-key")
    server_time = fields.time("server_time")
    fields.integer("shards", 1, 1)
    tenant, collector = fields.text("tenant", 64), fields.text("collector", 64)
    fields.finish()
    signed.verify(sealer_key)
    key = IntakeKey.parse(signed)
    this_hour = hour_start(server_time)
    if key.hour not in (this_hour, this_hour - timedelta(hours=1)):
        raise StatementError("wrong-hour", "intake_key")
    return Intake(key, tenant, collector), server_time


def utc_now() -> datetime:
    return datetime.now(UTC)


def _unbelievable(why: str) -> Stop:
    mend = "compare the config's sealer_key and receipt_key with the store's operator"
    return Stop(DATA, f"{why}: nothing was deleted; {mend}")


def _not_taken(response: Response) -> Stop:
    """Whatever the server will not have from us stays in the spool."""
    mend = "is it added there and in force?"
    if problem(response)[0] == "not-granted":
        mend = (
            "the provider's root has not vouched for it, or no longer: `icr grant --role collector`"
            " there, `manage.py collector grant` at the store, then push again"
        )
    return Stop(REFUSED, f"the server does not take this collector's key {_code(response)}: {mend}")


def _code(response: Response) -> str:
    code = problem(response)[0]
    return f"({response.status} {code})" if code else f"({response.status})"
