"""ClickHouse (chdb, its engine as a library) with one thread, from an Arrow file or from NDJSON.

One table for each of our two maps, sorted as they are; a materialized view fills the second, as its
manual advises. ``how`` is the codec: its own default, LZ4, for speed; "ZSTD(1)" for bytes. What a
careful engineer does is done: addresses are IPv6 (16 bytes, parsed from text by ClickHouse), no
column is Nullable (0 and :: say "none", which these records do not contain), accounts are
LowCardinality. Merges are awaited before bytes are counted, and are not measured as time.
"""

from pathlib import Path
from typing import Any

import chdb.session
import pyarrow as pa
import pyarrow.compute as pc

from tests.bench.peers.job import Job, serve
from tests.bench.peers.questions import Question

_COLUMNS = """observed_at DateTime64(6, 'UTC'), protocol UInt8, source_address IPv6,
    source_port UInt16, destination_address IPv6, destination_port UInt16,
    post_nat_source_address IPv6, post_nat_source_port UInt16, account LowCardinality(String)"""
_ADDRESS_COLUMNS = """address IPv6, port UInt16, protocol UInt8,
    observed_at DateTime64(6, 'UTC'), account LowCardinality(String)"""
_VIEW = """CREATE MATERIALIZED VIEW fill_address TO address AS
    SELECT if(post_nat_source_address = toIPv6('::'), source_address, post_nat_source_address)
               AS address,
           if(post_nat_source_port = 0, source_port, post_nat_source_port) AS port,
           protocol, observed_at, account FROM record"""
_RESOLVE = """SELECT DISTINCT account FROM address WHERE address = toIPv6('{address}')
    AND port = {port} AND protocol = {protocol} AND observed_at >= {first} AND observed_at < {end}
    ORDER BY account"""
_TIMES = "toUnixTimestamp64Nano(min(observed_at)), toUnixTimestamp64Nano(max(observed_at))"
_OF_ACCOUNT = "account = '{account}' AND observed_at >= {first} AND observed_at < {end}"
_SERVICES = f"""SELECT destination_address, protocol, destination_port, count(), {_TIMES}
    FROM record WHERE {_OF_ACCOUNT} GROUP BY destination_address, protocol, destination_port"""
_REACHED = f"""SELECT cidr, count(), {_TIMES}
    FROM (SELECT destination_address, observed_at FROM record WHERE {_OF_ACCOUNT}) AS found
    CROSS JOIN network WHERE destination_address >= low AND destination_address <= high
    GROUP BY cidr"""
_ANSWERS = {"resolve": _RESOLVE, "services": _SERVICES, "reached": _REACHED}
_FORMATS = {".arrow": "Arrow", ".ndjson": "JSONEachRow"}
_SETTINGS = "max_threads = 1, max_insert_threads = 1, date_time_input_format = 'best_effort'"


class ClickHouse:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._session = chdb.session.Session(str(Path(job.place) / "clickhouse"))
        self._ask("DROP DATABASE IF EXISTS bench")
        self._ask("CREATE DATABASE bench")
        self._ask("USE bench")
        self._make("record", _COLUMNS, "account, observed_at")
        self._make("address", _ADDRESS_COLUMNS, "address, port, observed_at")
        self._ask(_VIEW)

    def load(self) -> None:
        source = self._job.source
        format = _FORMATS[Path(source).suffix]
        self._ask(
            f"INSERT INTO record SELECT * FROM file('{source}', '{format}', $${_COLUMNS}$$)"
            f" SETTINGS {_SETTINGS}"
        )

    def sizes(self) -> tuple[int, int]:
        for table in ("record", "address"):
            self._ask(f"OPTIMIZE TABLE {table} FINAL")
        parts = "system.parts WHERE database = 'bench' AND active"
        return int(self._ask(f"SELECT sum(bytes_on_disk) FROM {parts}")), 0

    def rows(self) -> pa.Table:
        stream = self._session.query("SELECT * FROM record", "ArrowStream").bytes()
        table = pa.ipc.open_stream(stream).read_all()
        for number, name in enumerate(table.schema.names):
            absent: Any = pa.scalar(bytes(16), pa.binary(16)) if name.endswith("_address") else 0
            if name.endswith(("_port", "_address")):
                column = table.column(number)
                is_absent = pc.equal(column, absent)
                kept = pc.if_else(is_absent, pa.scalar(None, column.type), column)
                table = table.set_column(number, name, kept)
        return table

    def prepare(self, question: Question) -> None:
        """The networks of a question lie in a table."""
        self._ask(
            "CREATE OR REPLACE TABLE network (cidr String, low IPv6, high IPv6) ENGINE = Memory"
        )
        rows = ", ".join(f"('{n.cidr}', '{n.low}', '{n.high}')" for n in question.networks)
        if rows:
            self._ask(f"INSERT INTO network VALUES {rows}")

    def answer(self, question: Question) -> list[Any]:
        times = {name: _time(getattr(question, name)) for name in ("first", "end")}
        query = _ANSWERS[question.purpose].format(**vars(question) | times)
        stream = self._session.query(f"{query} SETTINGS max_threads = 1", "ArrowStream").bytes()
        columns = pa.ipc.open_stream(stream).read_all().columns
        return list(zip(*(column.to_pylist() for column in columns), strict=True))

    def same_shape(self, question: Question, rows: list[Any]) -> list[Any]:
        if question.purpose == "resolve":
            return [account for (account,) in rows]
        if question.purpose == "reached":
            return sorted(map(list, rows), key=repr)
        made = [[address.hex(), protocol, port or None, *rest]
                for address, protocol, port, *rest in rows]  # fmt: skip
        return sorted(made, key=repr)

    def _make(self, name: str, columns: str, order: str) -> None:
        self._ask(
            f"CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY ({order})"
            f" SETTINGS default_compression_codec = '{self._job.how}'"
        )

    def _ask(self, statement: str) -> str:
        return str(self._session.query(statement, "TSV"))


def _time(text: str) -> str:
    return f"parseDateTime64BestEffort('{text}', 6, 'UTC')"


if __name__ == "__main__":
    serve(ClickHouse)
