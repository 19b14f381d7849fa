"""One push for the whole folder: ten thousand known records, sealed by a sealer that was killed."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from deploy import services
from icrstore.seal.epoch import ROLES, Role
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Receipt
from tests.attacks.known import HOURS, Known
from tests.attacks.loot import Wiretap, broker_socket
from tests.attacks.thief import atoms_of
from tests.keeper.pairs import template
from tests.site import Site, last_hours

__all__ = ["template"]

Atoms = Mapping[Role, Mapping[bytes, bytes]]


@dataclass(frozen=True)
class Pushed:
    """The records, and the epochs that their sealed receipts name."""

    known: Known
    eids: tuple[bytes, ...]


@pytest.fixture(scope="session")
def wiretap(site: Site) -> Iterator[Wiretap]:
    """On the broker, before anything known is pushed."""
    made = Wiretap(broker_socket(site))
    yield made
    made.hang_up()


@pytest.fixture(scope="session")
def pushed(site: Site, wiretap: Wiretap, tmp_path_factory: pytest.TempPathFactory) -> Pushed:
    """Pushed and sealed. The sealer is killed as soon as it has something to seal."""
    known = Known.make(last_hours(HOURS)[0])
    path = tmp_path_factory.mktemp("attacks") / "known.ndjson"
    path.write_bytes(known.ndjson())
    held = site.sql("SELECT count(*) FROM inbox_batch")[0][0]
    with site.popen_push(path) as push:
        site.wait_for(f"SELECT count(*) > {held} FROM inbox_batch")
        site.stack.kill("sealer")
        told, said = push.communicate(timeout=90)
    assert push.returncode == 0, said
    path.unlink()
    lines = [json.loads(line) for line in told.splitlines()]
    receipts = [
        Receipt.parse(Envelope.read(line["receipt"], "receipt"))
        for line in lines
        if line["event"] == "sealed"
    ]
    assert sum(receipt.records for receipt in receipts) == len(known.records)
    return Pushed(known, tuple(eid for receipt in receipts for eid in receipt.epochs))


@pytest.fixture(scope="session")
def atoms(site: Site, pushed: Pushed, tmp_path_factory: pytest.TempPathFactory) -> Atoms:
    """Both keepers' atoms by eid, each stolen from a copy of that keeper's files alone."""
    loot = tmp_path_factory.mktemp("stores")
    for role in ROLES:
        shutil.copytree(services.keeper_store(site.stack.layout, role), loot / role)
    return {role: atoms_of(loot / role) for role in ROLES}


@pytest.fixture(scope="session")
def known(pushed: Pushed) -> Known:
    return pushed.known
