"""One query that cannot be answered must not keep the others waiting."""

from collections import deque

import pytest
from django.db import connection

from accounts.claims import held_token
from icrstore.query import run
from icrstore.query.keyring import EngineKeys
from icrstore.query.lodge import _seal
from icrstore.query.models import LodgedWarrant, Query
from icrstore.query.run import run_open
from icrstore.seal.manifest import Manifest
from icrstore.seal.rows import Row
from icrstore.vault import models
from icrstore.vault.manifests import copy_manifests
from icrstore.vault.months import month_of
from icrstore.warrant.dsse import Envelope
from icrstore.wire import hpke
from tests.keeper.pair import SealedEpoch, rows_of
from tests.keeper.papers import ACCOUNT, AUTHORITY, ENGINE
from tests.vault.rooms import Rooms


@pytest.fixture
def engine(rooms: Rooms) -> EngineKeys:
    return EngineKeys(ENGINE, rooms.pair.keys["engine"], hpke.PrivateKey.generate())


def ask(rooms: Rooms, engine: EngineKeys) -> Query:
    """A request on the queue, all of which keepers allow."""
    question = rooms.pair.question()

    def sealed(kind: str, statement: Envelope) -> bytes:
        key = engine.storage.public_bytes()
        return _seal(key, rooms.tenant.name, kind, statement, question.grants)

    warrant = LodgedWarrant.objects.create(
        tenant=rooms.tenant,
        sha256=question.warrant.sha256,
        authority=AUTHORITY,
        sealed=sealed("warrant", question.warrant),
        valid_from=rooms.now,
        valid_to=rooms.now,
    )
    return Query.objects.create(
        tenant=rooms.tenant,
        warrant=warrant,
        sha256=question.request.sha256,
        sealed=sealed("request", question.request),
    )


def store(rooms: Rooms, sealed: SealedEpoch) -> None:
    """An epoch as the sealer leaves it, and logged by both keepers."""
    hour, month = sealed.epoch.hour, month_of(sealed.epoch.hour)
    rows = [Row(label, body) for label, body in sealed.rows.items()]
    epoch = models.Epoch.objects.create(
        tenant=rooms.tenant,
        eid=sealed.epoch.eid,
        month=month,
        hour=hour,
        shard=0,
        rows=len(sealed.rows),
        statement=sealed.envelope.encode(),
    )
    copy_manifests([(month, epoch.id, Manifest.of(rows))])
    with connection.cursor() as cursor:
        for label, body in sealed.rows.items():
            cursor.execute(
                "INSERT INTO vault_segment VALUES (%s, %s, %s, %s)", [month, epoch.id, label, body]
            )
    rooms.pair.register(sealed)


def test_a_row_that_no_sealer_writes_ends_no_query(rooms: Rooms, engine: EngineKeys) -> None:
    """Its key opens it and its manifest names it, and what is inside is not a row's columns."""
    store(rooms, rooms.pair.seal_epoch(rooms.hour, rows_of(ACCOUNT)))
    query = ask(rooms, engine)
    assert run_open(engine, rooms.pair.keepers(), rooms.trust, False) == 1
    query.refresh_from_db()
    assert (query.state, query.keepers) == (Query.ANSWERED, [])


def test_what_ended_an_engine_is_taken_up_after_all_that_waits(
    rooms: Rooms, engine: EngineKeys
) -> None:
    first, second = ask(rooms, engine), ask(rooms, engine)
    Query.objects.filter(id=first.id).update(state=Query.RUNNING, claim=1)
    with held_token() as token:
        taken = [run._claim(token, deque([rooms.tenant.name])) for _ in range(3)]
    assert [query and query.id for query in taken] == [second.id, first.id, None]
