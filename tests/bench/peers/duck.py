"""DuckDB with one thread, from Arrow in memory.

``how`` is "as-arrived", one table in the order of arrival, or "same-work", the two orders that our
two maps stand for. It gets its Arrow read into memory beforehand, which is not measured.
"""

from pathlib import Path

import duckdb
import pyarrow as pa

from tests.bench import peer
from tests.bench.peers.job import Job, read_arrow, serve

STATEMENTS = {"as-arrived": peer.AS_ARRIVED, "same-work": peer.SAME_WORK}


class Duck:
    def __init__(self, job: Job) -> None:
        self._path = Path(job.place) / f"{job.how}.duckdb"
        self._path.unlink(missing_ok=True)
        self._statements = STATEMENTS[job.how]
        self._connection = duckdb.connect(str(self._path), config={"threads": 1})
        self._connection.register("records", read_arrow(Path(job.source)))

    def load(self) -> None:
        peer.run(self._connection, self._statements)

    def sizes(self) -> tuple[int, int]:
        return self._path.stat().st_size, 0

    def rows(self) -> pa.Table:
        found: pa.Table = self._connection.sql("SELECT * FROM record").to_arrow_table()
        return found


if __name__ == "__main__":
    serve(Duck)
