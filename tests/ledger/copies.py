"""Logs copied as the notifier copies them, and read back as anyone reads them from web."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.test import Client

from icrstore.desk.logs import ReadLog, read_log
from icrstore.keeper.calls import with_witnesses
from icrstore.ledger.copying import Copier, copy
from icrstore.ledger.models import Log
from icrstore.seal.epoch import ROLES, Role
from icrstore.warrant.trust import Trust
from tests.keeper.pair import Pair
from tests.keeper.papers import TENANT, utc_now
from tests.vault.rooms import Database


def trust_of(pair: Pair) -> Trust:
    """Only what a log is checked by."""
    return Trust(tuple(pair.identities.values()), {}, {}, {}, bytes(32))


def copiers(pair: Pair, caller: str = "notifier") -> list[Copier]:
    return [Copier(*each) for each in with_witnesses([pair.keeper(r, caller) for r in ROLES])]


def copy_logs(database: Database, pair: Pair, now: datetime | None = None) -> int:
    """One look; what the notifier's grants do not allow it cannot do here either."""
    with acting(database, "notifier"):
        return copy(copiers(pair), now or utc_now())


def copy_strictly(database: Database, pair: Pair, role: Role) -> int:
    """Of one keeper, raising what goes wrong: a `KeeperFailure`."""
    (copier,) = [one for one in copiers(pair) if one.keeper.role == role]
    with acting(database, "notifier"):
        return copier.copy(TENANT, utc_now())


@contextmanager
def acting(database: Database, role: str) -> Iterator[None]:
    """What that role's grants do not allow cannot be done within."""
    database.use(role)
    try:
        yield
    finally:
        database.use("admin")


class NotThere(Exception):
    """Web has nothing at that path."""


def fetch(path: str) -> bytes:
    """As anyone gets it from web."""
    response = Client().get(path)
    if response.status_code != 200:
        raise NotThere(path)
    return bytes(response.content)


def read_copy(database: Database, pair: Pair, role: Role) -> ReadLog:
    """The copied log, checked by the keepers' keys alone. Raises `NotProven`, `NotThere`."""
    origin = log_of(role).origin
    with acting(database, "web"):
        return read_log(fetch, trust_of(pair), role, origin)


def log_of(role: Role) -> Log:
    return Log.objects.filter(tenant=TENANT, role=role).latest("id")
