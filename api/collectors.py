"""The collectors' door: enrolment, the intake key of the hour, batches in, receipts out."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request

from accounts.collector_grants import NotGranted, grant_of
from accounts.enrolments import NotEnrolled, Pins, enrol, invitation
from accounts.models import Collector
from accounts.tenancy import of_tenant
from api import signed
from api.doors import PAGE, Door, hexadecimal, json_response, page_of
from api.problems import Problem
from icrstore.inbox.accept import MAX_BODY_BYTES, Label, accept
from icrstore.inbox.authorship import LABEL_HEADERS, PLAIN_LABEL_HEADERS, SignedCall
from icrstore.inbox.gaps import missing, told
from icrstore.inbox.models import Batch, IntakeKey
from icrstore.inbox.plain import ENCODINGS, NoIntakeKey, Plain, intake_key, seal_plain
from icrstore.inbox.plain import FORMATS as PLAIN_FORMATS
from icrstore.seal.epoch import hour_start
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.strict import Fields, encode_base64, parse_object, time_text

BATCH_TYPE = "application/vnd.icr.batch.v1"
MAX_ENROLMENT_BYTES = 4096


class EnrolmentsView(Door):
    def post(self, request: Request) -> HttpResponse:
        """Add the collector that has the token and signs with the key which it brings.

        The token comes first: nobody without one gets so far as to leave a nonce here.
        """
        body = signed.read_body(request, "application/json", MAX_ENROLMENT_BYTES)
        fields = Fields(parse_object(bytes(body.content)))
        token, key = fields.text("token"), fields.base64("key", 32)
        fields.finish()
        invited = invitation(token)
        signed.newcomer(request, body, key)
        collector, pins = enrol(invited, key, timezone.now()), Pins.read(settings.TRUST)
        return json_response(201, {
            "tenant": collector.tenant_id,
            "collector": collector.name,
            "sealer_key": encode_base64(pins.sealer_key),
            "receipt_key": encode_base64(pins.receipt_key),
        })  # fmt: skip


class IntakeKeyView(Door):
    def get(self, request: Request) -> HttpResponse:
        """The signed intake key of this hour, and the server's time to sign by."""
        now = timezone.now()
        collector, _, _ = signed.collector(request)
        _check_grant(collector, now)
        key = IntakeKey.objects.filter(hour=hour_start(now)).first()
        if key is None:
            raise Problem(503, "no-intake-key", "no sealer has published this hour's key")
        return json_response(200, {
            "intake_key": json.loads(bytes(key.envelope)),
            "server_time": time_text(now),
            "shards": collector.tenant.shards,
            "tenant": collector.tenant_id,
            "collector": collector.name,
        })  # fmt: skip


class BatchesView(Door):
    def post(self, request: Request) -> HttpResponse:
        """Take a batch: 202 with a signed receipt after the commit, 200 if it was held."""
        # As the signature covers it: whoever read the type otherwise would keep a plain body.
        plain = Plain.of({"content-type": request._request.headers.get("Content-Type", "")})
        required = PLAIN_LABEL_HEADERS if plain else LABEL_HEADERS
        collector, covered, body = signed.collector(
            request, required, lambda collector: _read_batch(request, collector, plain)
        )
        now = timezone.now()
        _check_grant(collector, now)
        call = SignedCall.of(settings.AUTHORITY, covered, request.headers)
        label, sealed = _sealed(collector, covered, body, now)
        batch, new = accept(
            collector, label, sealed, body.sha256, call.encode(), _receipt_key(), now
        )
        return json_response(202 if new else 200, {"receipt": json.loads(bytes(batch.receipt))})


class BatchView(Door):
    def get(self, request: Request, batch_id: str) -> HttpResponse:
        """What became of a batch: its state, its receipts, what was rejected and why."""
        collector, _, _ = signed.collector(request)
        wanted = hexadecimal(batch_id, 16, "no-such-batch")
        with of_tenant(collector.tenant_id):
            batch = Batch.objects.defer("body").filter(
                tenant=collector.tenant_id, collector=collector, batch_id=wanted
            ).first()  # fmt: skip
        if batch is None:
            raise Problem(404, "no-such-batch", "this collector has no batch of that id here")
        sealed = batch.sealed_receipt
        return json_response(200, {
            "batch_id": bytes(batch.batch_id).hex(),
            "state": _state(batch),
            "receipt": json.loads(bytes(batch.receipt)),
            "sealed_receipt": json.loads(bytes(sealed)) if sealed else None,
            "rejected": {"batch-poison": 1} if batch.is_set_aside else batch.rejected,
        })  # fmt: skip


class GapsView(Door):
    def get(self, request: Request) -> HttpResponse:
        """The numbers of this collector's streams that no batch here has, and what it told."""
        collector, _, _ = signed.collector(request)
        page = page_of(request)
        of_page = (collector.tenant_id, (page - 1) * PAGE, PAGE + 1, collector.id)
        runs, gaps = missing(*of_page), told(*of_page)
        return json_response(200, {
            "page": page,
            "more": max(len(runs), len(gaps)) > PAGE,
            "missing": [run.to_object() for run in runs[:PAGE]],
            "told": gaps[:PAGE],
        })  # fmt: skip


def _read_batch(request: Request, collector: Collector, plain: Plain | None) -> signed.Body:
    """Sealed, or, where the tenant allows that, plain."""
    if plain is None:
        return signed.read_body(request, BATCH_TYPE, MAX_BODY_BYTES)
    if not collector.tenant.takes_plain:
        raise Problem(403, "not-allowed-plain")
    return signed.read_body(request, PLAIN_FORMATS, MAX_BODY_BYTES, ENCODINGS)


def _sealed(
    collector: Collector, covered: Mapping[str, str], body: signed.Body, now: datetime
) -> tuple[Label, bytes | bytearray]:
    """The label, and the body as it may touch a disk: sealed by now, whoever did it."""
    plain = Plain.of(covered)
    if plain is None:
        return Label.parse(covered), body.content
    try:
        hour, key = intake_key(Pins.read(settings.TRUST).sealer_key, now)
    except (NoIntakeKey, NotEnrolled):
        raise Problem(503, "no-intake-key", "no sealer has published this hour's key") from None
    label = Label.parse(covered, hour)
    named = collector.tenant_id, collector.name, label.batch_id
    return label, seal_plain(body.content, plain, *named, key)


def _state(batch: Batch) -> str:
    if batch.is_set_aside:
        return "set-aside"
    # Until every keeper has logged its epochs, a batch is not sealed for its collector.
    return Batch.SEALED if batch.sealed_receipt else Batch.ACCEPTED


def _check_grant(collector: Collector, now: datetime) -> None:
    """Nobody seals what the provider's own root does not vouch for: say so before it is sent."""
    try:
        grant = grant_of(collector, bytes(collector.tenant.root_key))
    except NotGranted:
        raise Problem(403, "not-granted") from None
    if grant.key != bytes(collector.key) or now >= grant.not_after:
        raise Problem(403, "not-granted")


@cache
def _receipt_key() -> Ed25519PrivateKey:
    return KeyFile.read(settings.SECRETS / "receipt.key", "signing").signing()
