"""DuckDB with one thread, from Arrow in memory.

``how`` is "as-arrived", one table in the order of arrival, or "same-work", the two orders that our
two maps stand for. Reading the source into memory is not measured.
"""

from pathlib import Path

import duckdb
import pyarrow as pa

from tests.bench.peers.job import Job, read_arrow, serve

AS_ARRIVED = ("CREATE TABLE record AS SELECT * FROM records",)
SAME_WORK = (
    "CREATE TABLE record AS SELECT * FROM records ORDER BY account, observed_at",
    """CREATE TABLE address AS
    SELECT coalesce(post_nat_source_address, source_address) AS address,
           coalesce(post_nat_source_port, source_port) AS port, protocol, observed_at, account
    FROM records ORDER BY address, port, observed_at""",
)
_STATEMENTS = {"as-arrived": AS_ARRIVED, "same-work": SAME_WORK}


class Duck:
    def __init__(self, job: Job) -> None:
        self._path = Path(job.place) / f"{job.how}.duckdb"
        self._path.unlink(missing_ok=True)
        self._statements = _STATEMENTS[job.how]
        self._connection = duckdb.connect(str(self._path), config={"threads": 1})
        self._connection.register("records", read_arrow(Path(job.source)))

    def load(self) -> None:
        """All in one transaction, and then in the file."""
        self._connection.begin()
        for statement in self._statements:
            self._connection.execute(statement)
        self._connection.commit()
        self._connection.execute("CHECKPOINT")

    def sizes(self) -> tuple[int, int]:
        return self._path.stat().st_size, 0

    def rows(self) -> pa.Table:
        found: pa.Table = self._connection.sql("SELECT * FROM record").to_arrow_table()
        return found


if __name__ == "__main__":
    serve(Duck)
