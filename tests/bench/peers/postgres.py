"""PostgreSQL, plain rows: one table, an index for each of our two maps, COPY of ready CSV.

It is the store's own server with its settings (fsync on), another database. The rows go in as they
arrive, in one transaction, into a table that has its indexes, as one that is asked meanwhile does.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa

from icrstore.flow.schema import address_bytes, record_schema
from tests.bench.peers.job import Job, serve
from tests.bench.peers.questions import Question

_TABLE = """CREATE TABLE record (
    observed_at timestamptz NOT NULL, protocol smallint NOT NULL,
    source_address inet NOT NULL, source_port integer,
    destination_address inet NOT NULL, destination_port integer,
    post_nat_source_address inet, post_nat_source_port integer, account text NOT NULL)"""
_BY_ACCOUNT = "CREATE INDEX ON record (account, observed_at)"
_BY_ADDRESS = """CREATE INDEX ON record (coalesce(post_nat_source_address, source_address),
    coalesce(post_nat_source_port, source_port), observed_at)"""
_RESOLVE = """SELECT DISTINCT account FROM record
    WHERE coalesce(post_nat_source_address, source_address) = %(address)s
        AND coalesce(post_nat_source_port, source_port) = %(port)s AND protocol = %(protocol)s
        AND observed_at >= %(first)s AND observed_at < %(end)s ORDER BY account"""
_OF_ACCOUNT = "account = %(account)s AND observed_at >= %(first)s AND observed_at < %(end)s"
_SERVICES = f"""SELECT destination_address, protocol, destination_port, count(*),
        min(observed_at), max(observed_at)
    FROM record WHERE {_OF_ACCOUNT} GROUP BY 1, 2, 3"""
_REACHED = f"""SELECT cidr::text, count(*), min(observed_at), max(observed_at)
    FROM record JOIN network ON destination_address <<= cidr
    WHERE {_OF_ACCOUNT} GROUP BY cidr"""
_ANSWERS = {"resolve": _RESOLVE, "services": _SERVICES, "reached": _REACHED}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHUNK_BYTES = 1 << 20


class Postgres:
    def __init__(self, job: Job) -> None:
        self._source = Path(job.source)
        self._connection = psycopg.connect(job.place, autocommit=True)
        self._connection.execute("DROP TABLE IF EXISTS record")
        for statement in (_TABLE, _BY_ACCOUNT, _BY_ADDRESS, "CHECKPOINT"):
            self._connection.execute(statement)
        self._wal_before = self._wal()

    def load(self) -> None:
        copy_csv = "COPY record FROM STDIN (FORMAT csv, HEADER)"
        with self._connection.cursor().copy(copy_csv) as copy, self._source.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                copy.write(chunk)

    def sizes(self) -> tuple[int, int]:
        wal = self._wal() - self._wal_before
        self._connection.execute("VACUUM (ANALYZE) record")
        return self._number("SELECT pg_total_relation_size('record')"), wal

    def rows(self) -> pa.Table:
        found = self._connection.execute("SELECT * FROM record").fetchall()
        return table_of(
            [tuple(address_bytes(str(v)) if hasattr(v, "packed") else v for v in row)
             for row in found]
        )  # fmt: skip

    def prepare(self, question: Question) -> None:
        """The networks of a question lie in a table."""
        self._connection.execute("DROP TABLE IF EXISTS network")
        self._connection.execute("CREATE TEMP TABLE network (cidr cidr)")
        with self._connection.cursor().copy("COPY network FROM STDIN") as copy:
            for network in question.networks:
                copy.write_row([network.cidr])
        self._connection.execute("ANALYZE network")

    def answer(self, question: Question) -> list[Any]:
        return self._connection.execute(_ANSWERS[question.purpose], vars(question)).fetchall()

    def same_shape(self, question: Question, rows: list[Any]) -> list[Any]:
        if question.purpose == "resolve":
            return [account for (account,) in rows]
        return sorted((list(map(plain, row)) for row in rows), key=repr)

    def _wal(self) -> int:
        return self._number("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")

    def _number(self, question: str) -> int:
        row = self._connection.execute(question).fetchone()
        assert row
        return int(row[0])


def plain(value: object) -> object:
    """An address in hex, a time in nanoseconds, the rest as it is."""
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(microseconds=1) * 1000
    return address_bytes(str(value)).hex() if hasattr(value, "packed") else value


def table_of(rows: list[tuple[object, ...]]) -> pa.Table:
    """Rows of Python values in the order of the schema, addresses as their 16 bytes."""
    schema = record_schema("us")
    columns = [
        pa.array(list(values), schema.field(n).type)
        for n, values in enumerate(zip(*rows, strict=True))
    ]
    return pa.Table.from_arrays(columns, schema=schema)


if __name__ == "__main__":
    serve(Postgres)
