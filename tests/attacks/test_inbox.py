"""Whoever writes the table of waiting batches has nothing sealed that its collector did not sign.

Each deed is done to one batch that waits; another beside it is sealed as if nothing had happened.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connections

from accounts.models import Collector
from icrstore.inbox.accept import Label, accept
from icrstore.inbox.authorship import SignedCall
from icrstore.inbox.models import Batch
from icrstore.seal.epoch import HOUR
from icrstore.vault.sealer import seal_waiting
from icrstore.warrant.dsse import Envelope, key_id, raw_public
from icrstore.warrant.statements import Grant
from tests.keeper.pair import Pair
from tests.keeper.pairs import copy_pair
from tests.vault.rooms import (
    COLLECTOR_KEYS,
    ROOTS,
    Database,
    Rooms,
    add_collector,
    arrow,
    collector_grant,
    frame,
    make_rooms,
    record,
    sign_call,
    state_of,
)

SET_ASIDE = ("sealed", 0, {"batch-not-signed": 1})


def _update(batch: Batch, **columns: Any) -> None:
    Batch.objects.filter(id=batch.id).update(**columns)


def widen_the_scope(rooms: Rooms, batch: Batch) -> None:
    _update(batch, first_hour=batch.first_hour - HOUR)


def narrow_the_scope(rooms: Rooms, batch: Batch) -> None:
    _update(batch, first_hour=batch.first_hour - 2 * HOUR, last_hour=batch.last_hour - 2 * HOUR)


def name_another_intake_hour(rooms: Rooms, batch: Batch) -> None:
    _update(batch, intake_hour=batch.intake_hour - HOUR)


def name_another_batch(rooms: Rooms, batch: Batch) -> None:
    _update(batch, batch_id=bytes(16))


def give_it_to_another_collector(rooms: Rooms, batch: Batch) -> None:
    _update(batch, collector=rooms.collector)


def exchange_the_body(rooms: Rooms, batch: Batch) -> None:
    """By one that opens under its name, since the intake key is everybody's."""
    content = frame(arrow([record(rooms.hour, "planted")]))
    _update(batch, body=rooms.seal(Label.of(batch), content))


def exchange_body_and_digest(rooms: Rooms, batch: Batch) -> None:
    body = rooms.seal(Label.of(batch), frame(arrow([record(rooms.hour, "planted")])))
    call = SignedCall.parse(bytes(batch.signed or b""))
    other = sign_call(Label.of(batch), body, Ed25519PrivateKey.generate(), rooms.now)
    digest = SignedCall.parse(other).headers["content-digest"]
    forged = replace(call, headers={**call.headers, "content-digest": digest})
    _update(batch, body=body, signed=forged.encode())


def sign_it_oneself(rooms: Rooms, batch: Batch) -> None:
    _sign(rooms, batch, Ed25519PrivateKey.generate())


def sign_it_oneself_and_add_the_key(rooms: Rooms, batch: Batch) -> None:
    own = Ed25519PrivateKey.generate()
    public = raw_public(own)
    Collector.objects.filter(id=batch.collector_id).update(key=public, keyid=key_id(public))
    _sign(rooms, batch, own)


def grant_it_by_a_root_of_ones_own(rooms: Rooms, batch: Batch) -> None:
    """And write that root into the row of the tenant."""
    own = Ed25519PrivateKey.generate()
    public = raw_public(own)
    true = Grant.parse(Envelope.parse(bytes(batch.collector.grant or b""), "grant"))
    forged = Envelope.sign("grant", replace(true, key=public).to_fields(), own).encode()
    Collector.objects.filter(id=batch.collector_id).update(
        key=public, keyid=key_id(public), grant=forged
    )
    rooms.tenant.root_key = public
    rooms.tenant.save()
    _sign(rooms, batch, own)


def _sign(rooms: Rooms, batch: Batch, key: Ed25519PrivateKey, at: datetime | None = None) -> None:
    signed = sign_call(Label.of(batch), bytes(batch.body or b""), key, at or rooms.now)
    _update(batch, signed=signed)


def use_a_grant_of_another_role(rooms: Rooms, batch: Batch) -> None:
    _regrant(batch, role="sealer")


def use_anothers_grant(rooms: Rooms, batch: Batch) -> None:
    _regrant(batch, holder="edge-2")


def use_another_providers_grant(rooms: Rooms, batch: Batch) -> None:
    _regrant(batch, issuer="isp-two")


def _regrant(batch: Batch, **changed: Any) -> None:
    by = batch.collector
    grant = collector_grant(by.tenant_id, by.name, bytes(by.key), **changed)
    Collector.objects.filter(id=by.id).update(grant=grant)


def keep_a_signature_from_after_the_grants_end(rooms: Rooms, batch: Batch) -> None:
    late = rooms.now + timedelta(days=6)
    _sign(rooms, batch, COLLECTOR_KEYS[batch.collector.keyid], late)


def say_another_number(rooms: Rooms, batch: Batch) -> None:
    _update(batch, sequence=99)


def say_another_stream(rooms: Rooms, batch: Batch) -> None:
    _update(batch, stream="other")


def say_another_shard(rooms: Rooms, batch: Batch) -> None:
    _update(batch, shard=1)


def take_the_signature_away(rooms: Rooms, batch: Batch) -> None:
    _update(batch, signed=None)


def leave_an_empty_signature(rooms: Rooms, batch: Batch) -> None:
    _update(batch, signed=b"{}")


def copy_the_signature_of_another_batch(rooms: Rooms, batch: Batch) -> None:
    other = rooms.take_records([record(rooms.hour)], batch.collector)
    _update(batch, signed=other.signed)


def exchange_it_with_another_body(rooms: Rooms, batch: Batch) -> None:
    """Of the same collector, signed too."""
    other = rooms.take_records([record(rooms.hour, "line-2")], batch.collector)
    _update(batch, body=other.body)


DEEDS: tuple[Callable[[Rooms, Batch], None], ...] = (
    widen_the_scope, narrow_the_scope, name_another_intake_hour, name_another_batch,
    give_it_to_another_collector, exchange_the_body, exchange_body_and_digest, sign_it_oneself,
    sign_it_oneself_and_add_the_key, grant_it_by_a_root_of_ones_own, use_a_grant_of_another_role,
    use_anothers_grant, use_another_providers_grant, keep_a_signature_from_after_the_grants_end,
    say_another_number, say_another_stream, say_another_shard, take_the_signature_away,
    leave_an_empty_signature, copy_the_signature_of_another_batch, exchange_it_with_another_body,
)  # fmt: skip


@pytest.fixture(scope="module")
def story(
    database: Database, template: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Batch]]:
    """Each deed's batch, of a collector of its own, after one look of the sealer at all."""
    folder = tmp_path_factory.mktemp("inbox")
    with copy_pair(template, folder) as pair:
        rooms, batches = make_rooms(pair, folder), {}
        rooms.tenant.shards = 2
        rooms.tenant.save()
        for deed in DEEDS:
            by = add_collector(rooms.tenant, deed.__name__[:60], Ed25519PrivateKey.generate())
            batches[deed.__name__] = rooms.take_records([record(rooms.hour)], by)
            deed(rooms, batches[deed.__name__])
        batches["true"] = rooms.take_records([record(rooms.hour)])
        assert seal_waiting(rooms.keys, rooms.days, rooms.now) >= len(batches)
        for batch in batches.values():
            batch.refresh_from_db()
        yield batches
        connections.close_all()


@pytest.mark.parametrize("deed", DEEDS)
def test_a_batch_that_somebody_meddled_with_is_set_aside(
    story: dict[str, Batch], deed: Callable[[Rooms, Batch], None]
) -> None:
    batch = story[deed.__name__]
    assert (batch.state, batch.records, batch.rejected) == SET_ASIDE


def test_a_true_batch_beside_them_is_sealed(story: dict[str, Batch]) -> None:
    batch = story["true"]
    assert (batch.state, batch.records, batch.rejected) == ("sealed", 1, {})


def test_a_batch_made_up_with_the_public_keys_is_set_aside_and_true_ones_beside_it_are_sealed(
    rooms: Rooms,
) -> None:
    """A row with all that anybody could write who administers the database."""
    label = rooms.label()
    body = rooms.seal(label, frame(arrow([record(rooms.hour, "planted")])))
    own = Ed25519PrivateKey.generate()
    planted, _ = accept(
        rooms.collector, label, body, hashlib.sha256(body).digest(),
        sign_call(label, body, own, rooms.now), own, rooms.now,
    )  # fmt: skip
    true = rooms.take_records([record(rooms.hour)])
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 2
    assert state_of(planted) == SET_ASIDE
    assert state_of(true) == ("sealed", 1, {})


def test_when_records_are_late_is_told_by_the_collectors_signature_not_by_the_row(
    rooms: Rooms,
) -> None:
    batch = rooms.take_records([record(rooms.hour)])
    _update(batch, accepted_at=rooms.now + timedelta(days=9))
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 1
    assert state_of(batch) == ("sealed", 1, {})


def test_what_waits_is_sealed_after_its_grant_ended_or_was_renewed(rooms: Rooms) -> None:
    """A signature counts by its own time."""
    batch = rooms.take_records([record(rooms.hour)])
    begins = rooms.now + timedelta(minutes=1)
    _regrant(batch, not_before=f"{begins:%Y-%m-%dT%H:%M:%SZ}")
    assert seal_waiting(rooms.keys, rooms.days, rooms.now + timedelta(days=1)) == 1
    assert state_of(batch) == ("sealed", 1, {})


def test_a_tenant_whose_root_the_sealer_does_not_have_waits_and_loses_nothing(
    rooms: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    batch = rooms.take_records([record(rooms.hour)])
    without = replace(rooms.keys, roots={})
    assert seal_waiting(without, rooms.days, rooms.now) == 0
    assert state_of(batch) == ("accepted", 0, {})
    assert f"{rooms.tenant.name}.root" in caplog.text
    assert seal_waiting(replace(without, roots=ROOTS), rooms.days, rooms.now) == 1
