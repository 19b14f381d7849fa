"""What the sealed records weigh."""

import psycopg

from deploy import database
from deploy.demo.provider import TENANT
from deploy.demo.telling import Telling, say


def weigh(telling: Telling) -> None:
    """Of everything that was ever pushed here."""
    url = database.database_url(telling.site.layout, "admin")
    with psycopg.connect(url) as connection:
        # An owner who is no superuser sees one tenant's rows, as everybody does.
        connection.execute("SELECT set_config('icr.tenant', %s, true)", [TENANT])
        row = connection.execute(
            "SELECT (SELECT sum(records) FROM inbox_batch),"
            " (SELECT sum(16 + length(body)) FROM vault_segment),"
            " (SELECT sum(pg_total_relation_size(relid))"
            "  FROM pg_partition_tree('vault_segment'))"
        ).fetchone()
    records, sealed, disk = (int(value or 0) for value in row or (0, 0, 0))
    say(f"  {records} records: {sealed / records:.1f} bytes each, both maps sealed;")
    say(f"  {disk / records:.1f} with PostgreSQL's pages and index.")
