"""DuckDB with one thread on the same records: as they arrive, and doing the same work as we do."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from icrstore.flow.schema import address_text
from tests.bench.measure import Cost, timed

Service = tuple[str, str, int, int | None]  # account, destination address, protocol, port

AS_ARRIVED = ("CREATE TABLE record AS SELECT * FROM records",)
# The two orders that our two maps stand for.
SAME_WORK = (
    "CREATE TABLE record AS SELECT * FROM records ORDER BY account, observed_at",
    """CREATE TABLE address AS
    SELECT coalesce(post_nat_source_address, source_address) AS address,
           coalesce(post_nat_source_port, source_port) AS port, protocol, observed_at, account
    FROM records ORDER BY address, port, observed_at""",
)


def load(records: pa.Table, path: Path, statements: Sequence[str]) -> tuple[Cost, int]:
    """The records into a new database file, and the file's bytes."""
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path), config={"threads": 1}) as connection:
        connection.register("records", records)
        _, cost = timed(lambda: run(connection, statements))
    return cost, path.stat().st_size


def services(
    path: Path, accounts: Sequence[str], first: datetime, end: datetime
) -> Counter[Service]:
    """How many distinct records these accounts have of each service, from ``first`` to ``end``."""
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute(
            """SELECT account, destination_address, protocol, destination_port, count(*)
            FROM (SELECT DISTINCT * FROM record)
            WHERE list_contains(?, account) AND observed_at >= ? AND observed_at < ?
            GROUP BY ALL""",
            [list(accounts), first, end],
        ).fetchall()
    return Counter({
        (account, address_text(address), protocol, port): count
        for account, address, protocol, port, count in rows
    })  # fmt: skip


def run(connection: duckdb.DuckDBPyConnection, statements: Sequence[str]) -> None:
    """All in one transaction, and then in the file."""
    connection.begin()
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.execute("CHECKPOINT")
