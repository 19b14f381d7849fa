"""The collectors' door: enrolment, the intake key of the hour, batches in, receipts out."""

import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.enrolments import Pins, enrol, invitation
from api import signed
from api.problems import Problem
from icrstore.celery import look
from icrstore.inbox.accept import MAX_BODY_BYTES, Label, accept
from icrstore.inbox.models import Batch, IntakeKey
from icrstore.seal.epoch import hour_start
from icrstore.shell.keyfile import KeyFile
from icrstore.vault import tasks
from icrstore.warrant.strict import Fields, encode_base64, parse_object, time_text
from icrstore.wire.errors import SignatureRefused

BATCH_TYPE = "application/vnd.icr.batch.v1"
MAX_ENROLMENT_BYTES = 4096
LABEL_HEADERS = ("idempotency-key", "batch-sequence", "batch-scope", "intake-key")


class EnrolmentsView(APIView):
    def post(self, request: Request) -> HttpResponse:
        """Add the collector that has the token and signs with the key which it brings.

        The token comes first: nobody without one gets so far as to leave a nonce here.
        """
        body = signed.read_body(request, "application/json", MAX_ENROLMENT_BYTES)
        fields = Fields(parse_object(body.content))
        token, key = fields.text("token"), fields.base64("key", 32)
        fields.finish()
        invited = invitation(token)
        signed.newcomer(request, body, key)
        collector, pins = enrol(invited, key, timezone.now()), Pins.read(settings.TRUST)
        return _json(201, {
            "tenant": collector.tenant_id,
            "collector": collector.name,
            "sealer_key": encode_base64(pins.sealer_key),
            "receipt_key": encode_base64(pins.receipt_key),
        })  # fmt: skip


class IntakeKeyView(APIView):
    def get(self, request: Request) -> HttpResponse:
        """The signed intake key of this hour, and the server's time for a wrong clock.

        A collector whose clock is off cannot sign right before it knows by how much, so the
        refusal tells the time too.
        """
        now = timezone.now()
        try:
            collector, _ = signed.collector(request, None)
        except SignatureRefused as error:
            raise Problem(401, error.reason, f"the server's time is {time_text(now)}") from error
        key = IntakeKey.objects.filter(hour=hour_start(now)).first()
        if key is None:
            raise Problem(503, "no-intake-key", "no sealer has published this hour's key")
        return _json(200, {
            "intake_key": json.loads(bytes(key.envelope)),
            "server_time": time_text(now),
            "shards": collector.tenant.shards,
            "tenant": collector.tenant_id,
            "collector": collector.name,
        })  # fmt: skip


class BatchesView(APIView):
    def post(self, request: Request) -> HttpResponse:
        """Take a sealed batch: 202 with a signed receipt after the commit, 200 if it was held."""
        body = signed.read_body(request, BATCH_TYPE, MAX_BODY_BYTES)
        collector, covered = signed.collector(request, body, LABEL_HEADERS)
        label = Label.parse(covered)
        batch, new = accept(
            collector, label, body.content, body.sha256, _receipt_key(), timezone.now()
        )
        if new:
            look(tasks.seal)
        return _json(202 if new else 200, {"receipt": json.loads(bytes(batch.receipt))})


class BatchView(APIView):
    def get(self, request: Request, batch_id: str) -> HttpResponse:
        """What became of a batch: its state, its receipts, what was rejected and why."""
        collector, _ = signed.collector(request, None)
        batch = Batch.objects.defer("body").filter(
            tenant=collector.tenant_id, collector=collector, batch_id=_id(batch_id)
        ).first()  # fmt: skip
        if batch is None:
            raise Problem(404, "no-such-batch", "this collector has no batch of that id here")
        sealed = batch.sealed_receipt
        return _json(200, {
            "batch_id": batch_id,
            # Until every keeper has logged its epochs, a batch is not sealed for its collector.
            "state": Batch.SEALED if sealed else Batch.ACCEPTED,
            "receipt": json.loads(bytes(batch.receipt)),
            "sealed_receipt": json.loads(bytes(sealed)) if sealed else None,
            "rejected": batch.rejected,
        })  # fmt: skip


def _id(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Problem(404, "no-such-batch", "a batch id is 32 hex digits") from None


@cache
def _receipt_key() -> Ed25519PrivateKey:
    return KeyFile.read(settings.SECRETS / "receipt.key", "signing").signing()


def _json(status: int, value: dict[str, Any]) -> HttpResponse:
    return HttpResponse(json.dumps(value), status=status, content_type="application/json")
