"""Django with Fernet fields: what a Django team writes first, from NDJSON.

One model. Account, addresses and ports are encrypted each for itself (`cryptography`'s Fernet, a
key read once); account and public address have an HMAC beside them to look them up by, each in an
index with the time. Lines are parsed with `json.loads` and stored by `bulk_create`, 1,000 at a
time. It is the store's own PostgreSQL with its settings, another database.

``how`` is "checked": a serializer of Django REST framework takes nothing that our store would
refuse (`peers.serializer`); or "unchecked": whatever a line says is stored.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache, partial
from ipaddress import ip_address, ip_network
from itertools import islice
from pathlib import Path
from typing import Any

import django
import pyarrow as pa
from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connection, models
from psycopg.conninfo import conninfo_to_dict

from icrstore.flow.schema import address_bytes
from tests.bench.peers.job import Job, serve
from tests.bench.peers.postgres import plain, table_of
from tests.bench.peers.questions import Network, Question

# What is counted, and when it was seen.
Seen = tuple[Any, datetime]
Store = Callable[[list[dict[str, Any]]], None]

_BATCH = 1000
_TIME = "observed_at"
_SERVICE = ("destination_address", "protocol", "destination_port")
_ENDS = ("source_port", "post_nat_source_port")
_FERNET = Fernet(Fernet.generate_key())
_LOOKUP_KEY = os.urandom(32)


class EncryptedField(models.TextField):  # type: ignore[type-arg]
    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else _FERNET.encrypt(str(value).encode()).decode()

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return None if value is None else _FERNET.decrypt(value.encode()).decode()


def lookup(value: str) -> str:
    return hmac.new(_LOOKUP_KEY, value.encode(), hashlib.sha256).hexdigest()


def _configure(url: str) -> None:
    """Django with this one database and nothing else."""
    parts = conninfo_to_dict(url)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts["dbname"], "USER": parts["user"], "HOST": parts["host"],
        "OPTIONS": {"passfile": parts["passfile"]},
    }  # fmt: skip
    settings.configure(DATABASES={"default": database}, USE_TZ=True, TIME_ZONE="UTC")
    django.setup()


@cache
def model_of(label: str) -> Any:
    """Made only once Django is set up, which the database's URL must be known for."""

    class Record(models.Model):
        observed_at = models.DateTimeField()
        protocol = models.PositiveSmallIntegerField()
        account = EncryptedField()
        account_lookup = models.CharField(max_length=64)
        source_address = EncryptedField()
        source_port = EncryptedField(null=True)
        destination_address = EncryptedField()
        destination_port = EncryptedField(null=True)
        post_nat_source_address = EncryptedField(null=True)
        post_nat_source_port = EncryptedField(null=True)
        address_lookup = models.CharField(max_length=64)

        class Meta:
            app_label = label
            indexes = [
                models.Index(fields=["account_lookup", "observed_at"], name="by_account"),
                models.Index(fields=["address_lookup", "observed_at"], name="by_address"),
            ]

    return Record


def _row(model: Any, fields: dict[str, Any]) -> Any:
    """Not yet stored, with what it is looked up by."""
    public = fields.get("post_nat_source_address", fields["source_address"])
    return model(account_lookup=lookup(fields["account"]), address_lookup=lookup(public), **fields)


def _storing(how: str, model: Any) -> Store:
    if how == "checked":
        # The serializer's module needs Django set up.
        from tests.bench.peers.serializer import storing

        return storing(model, partial(_row, model))

    def store(told: list[dict[str, Any]]) -> None:
        for fields in told:
            fields["observed_at"] = datetime.fromisoformat(fields["observed_at"])
        model.objects.bulk_create([_row(model, fields) for fields in told])

    return store


class DjangoFernet:
    def __init__(self, job: Job) -> None:
        self._source = Path(job.source)
        _configure(job.place)
        self._model = model_of("bench")
        self._store = _storing(job.how, self._model)
        table = self._model._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
            cursor.execute("CHECKPOINT")
        with connection.schema_editor() as editor:
            editor.create_model(self._model)
        self._wal_before = self._wal()

    def load(self) -> None:
        with self._source.open() as file:
            while lines := list(islice(file, _BATCH)):
                self._store([json.loads(line) for line in lines])

    def sizes(self) -> tuple[int, int]:
        wal = self._wal() - self._wal_before
        with connection.cursor() as cursor:
            table = self._model._meta.db_table
            cursor.execute(f"VACUUM {table}")
            cursor.execute(f"SELECT pg_total_relation_size('{table}')")
            return int(cursor.fetchone()[0]), wal

    def rows(self) -> pa.Table:
        return table_of([tuple(self._values(one)) for one in self._model.objects.all()])

    def _values(self, one: Any) -> Iterator[object]:
        yield one.observed_at
        yield one.protocol
        for end in ("source", "destination", "post_nat_source"):
            address, port = getattr(one, f"{end}_address"), getattr(one, f"{end}_port")
            yield address_bytes(address) if address else None
            yield int(port) if port else None
        yield one.account

    def prepare(self, question: Question) -> None: ...

    def answer(self, question: Question) -> list[Any]:
        """Rows are found by HMAC and time; all else is opened and counted here, since the database
        sees ciphertext."""
        if question.purpose == "resolve":
            return self._resolve(question)
        key = lookup(question.account)
        found = self._between(question).filter(account_lookup=key).values_list(*_SERVICE, _TIME)
        if question.purpose == "reached":
            return _counted(_in_networks(found, question.networks))
        return _counted(((address, protocol, port and int(port)), at)
                        for address, protocol, port, at in found)  # fmt: skip

    def same_shape(self, question: Question, rows: list[Any]) -> list[Any]:
        if question.purpose == "reached":
            rows = [[str(key), *rest] for key, *rest in rows]
        if question.purpose == "services":
            rows = [[address_bytes(address).hex(), protocol, port, *rest]
                    for (address, protocol, port), *rest in rows]  # fmt: skip
        if question.purpose == "resolve":
            return rows
        return sorted((list(map(plain, row)) for row in rows), key=repr)

    def _resolve(self, question: Question) -> list[Any]:
        found = self._between(question).filter(
            address_lookup=lookup(question.address), protocol=question.protocol
        )
        return sorted({
            account
            for account, own, public in found.values_list("account", *_ENDS)
            if int(public or own or 0) == question.port
        })  # fmt: skip

    def _between(self, question: Question) -> Any:
        return self._model.objects.filter(
            observed_at__gte=question.first, observed_at__lt=question.end
        )

    def _wal(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
            return int(cursor.fetchone()[0])


def _in_networks(
    found: Iterable[Any], networks: Sequence[Network]
) -> Iterator[tuple[Any, datetime]]:
    wanted = [ip_network(network.cidr) for network in networks]
    for address, _, _, at in found:
        parsed = ip_address(address)
        yield from ((network, at) for network in wanted if parsed in network)


def _counted(seen: Iterable[Seen]) -> list[Any]:
    """Of each key how often, first and last."""
    made: dict[Any, list[datetime]] = {}
    for key, at in seen:
        made.setdefault(key, []).append(at)
    return [(key, len(times), min(times), max(times)) for key, times in made.items()]


if __name__ == "__main__":
    serve(DjangoFernet)
