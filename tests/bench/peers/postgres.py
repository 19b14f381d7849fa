"""PostgreSQL, plain rows: one table, an index for each of our two maps, COPY of ready CSV.

It is the store's own server with its settings (fsync on), another database. The rows go in as they
arrive, in one transaction, into a table that has its indexes, as one that is asked meanwhile does.
"""

from pathlib import Path

import psycopg
import pyarrow as pa

from icrstore.flow.schema import address_bytes, record_schema
from tests.bench.peers.job import Job, serve

_TABLE = """CREATE TABLE record (
    observed_at timestamptz NOT NULL, protocol smallint NOT NULL,
    source_address inet NOT NULL, source_port integer,
    destination_address inet NOT NULL, destination_port integer,
    post_nat_source_address inet, post_nat_source_port integer, account text NOT NULL)"""
_BY_ACCOUNT = "CREATE INDEX ON record (account, observed_at)"
_BY_ADDRESS = """CREATE INDEX ON record (coalesce(post_nat_source_address, source_address),
    coalesce(post_nat_source_port, source_port), observed_at)"""
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
        self._connection.execute("VACUUM record")
        return self._number("SELECT pg_total_relation_size('record')"), wal

    def rows(self) -> pa.Table:
        found = self._connection.execute("SELECT * FROM record").fetchall()
        return table_of(
            [tuple(address_bytes(str(v)) if hasattr(v, "packed") else v for v in row)
             for row in found]
        )  # fmt: skip

    def _wal(self) -> int:
        return self._number("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")

    def _number(self, question: str) -> int:
        row = self._connection.execute(question).fetchone()
        assert row
        return int(row[0])


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
