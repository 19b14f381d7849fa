"""An office of an authority in the rooms: what was sealed once, an engine that answers.

The keepers remember what they logged, so the tests of a module share what was sealed, and roll back
what they do to it. None may have the keepers log another epoch of the hours that others ask about.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connections, transaction

from accounts.principals import remember, vouched
from accounts.tenancy import of_tenant
from icrstore.query.keyring import EngineKeys
from icrstore.query.lodge import lodge_request, lodge_warrant
from icrstore.query.models import Query
from icrstore.query.run import run_open
from icrstore.seal.encode import enc
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.vault.register import give_receipts, register_epochs
from icrstore.vault.sealer import seal_empty_hours, seal_waiting
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import HourRange
from icrstore.warrant.strict import decode_base64
from icrstore.wire import hpke
from tests.keeper.pair import Pair
from tests.keeper.pairs import copy_pair
from tests.keeper.papers import ACCOUNT, AUTHORITY, ENGINE
from tests.vault.rooms import Database, Rooms, make_rooms, record

STORAGE = hpke.PrivateKey.generate()


@dataclass
class Office:
    """The rooms with something sealed, and an engine that answers about it."""

    rooms: Rooms

    @property
    def keys(self) -> EngineKeys:
        return EngineKeys(ENGINE, self.rooms.pair.keys["engine"], STORAGE)

    def seal(self) -> None:
        rooms = self.rooms
        seal_waiting(rooms.keys, rooms.days, rooms.now)
        seal_empty_hours(rooms.keys, rooms.days, rooms.now)
        register_epochs(rooms.keys, rooms.keepers, rooms.now)
        give_receipts(rooms.keys, rooms.keepers, rooms.now)

    def lodge(self, **changes: Any) -> Envelope:
        pair, tenant = self.rooms.pair, self.rooms.tenant
        remember(vouched(tenant.name, pair.grants(), self.rooms.now))
        warrant = pair.warrant(pair.warrant_of(**changes))
        lodge_warrant(
            tenant, warrant, pair.grants(), [AUTHORITY], STORAGE.public_bytes(), self.rooms.now
        )
        return warrant

    def put(self, warrant: Envelope, **changes: Any) -> Query:
        pair = self.rooms.pair
        request = pair.request(pair.request_of(warrant, **changes))
        return lodge_request(
            self.rooms.tenant, request, (), [AUTHORITY], STORAGE.public_bytes(), self.rooms.now
        )

    def run(self) -> int:
        return run_open(self.keys, self.rooms.pair.keepers(), self.rooms.trust, True)

    def answer(self, query: Query) -> dict[str, Any]:
        """The plain answer, opened as its recipient does."""
        with of_tenant(self.rooms.tenant.name):
            query.refresh_from_db()
        assert (query.state, query.keepers) == ("answered", [])
        told = json.loads(bytes(query.disclosure or b""))
        info = enc(b"icr/v1/answer", bytes(query.sha256))
        sealed = decode_base64(told["sealed"][0]["sealed"]) or b""
        package = json.loads(hpke.open_(self.rooms.pair.engine_key, info, sealed))
        made: dict[str, Any] = json.loads(decode_base64(package["answer"]) or b"")
        return made

    def ask(self, hours: int = 4, ago: int = 0) -> dict[str, Any]:
        """About so many whole hours, the last of them so many ``ago``."""
        end = hour_start(self.rooms.now) - ago * HOUR
        asked = HourRange(end - hours * HOUR, end)
        query = self.put(self.lodge(hours=asked), hours=(asked,))
        assert self.run() == 1
        return self.answer(query)


@pytest.fixture(scope="module")
def lasting(
    database: Database, template: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    with copy_pair(template, folder) as pair:
        rooms = make_rooms(pair, folder)
        rooms.take_records(
            [record(rooms.hour - n * HOUR, ACCOUNT, source_port=n) for n in range(4)] * 2,
            first_hour=rooms.hour - 3 * HOUR,
        )
        made = Office(rooms)
        made.seal()
        yield made
        connections.close_all()


@pytest.fixture
def office(lasting: Office) -> Iterator[Office]:
    sequence = lasting.rooms.sequence
    with transaction.atomic():
        yield lasting
        transaction.set_rollback(True)
    lasting.rooms.sequence = sequence


def coverage(answer: dict[str, Any]) -> list[str]:
    return [hour["coverage"] for hour in answer["hours"]]
