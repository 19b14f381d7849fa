"""What the sealed records weigh."""

import psycopg

from deploy import database
from deploy.demo.telling import Telling, say

# Records, bytes of their sealed rows, and how many bytes PostgreSQL takes for one.
_WEIGHT = """
SELECT (SELECT sum(records) FROM inbox_batch WHERE tenant_id = %(tenant)s),
    (SELECT sum(16 + length(body)) FROM vault_segment
     WHERE epoch_no IN (SELECT id FROM vault_epoch WHERE tenant_id = %(tenant)s)),
    (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('vault_segment'))
        / (SELECT sum(16 + length(body)) FROM vault_segment)
"""


def weigh(telling: Telling) -> None:
    """Of everything that this provider ever pushed."""
    url = database.database_url(telling.site.layout, "admin")
    with psycopg.connect(url) as connection:
        # An owner who is no superuser sees one tenant's rows, as everybody does.
        connection.execute("SELECT set_config('icr.tenant', %s, true)", [telling.tenant])
        row = connection.execute(_WEIGHT, {"tenant": telling.tenant}).fetchone()
    records, sealed, share = (float(value or 0) for value in row or (0, 0, 0))
    say(f"  {records:.0f} records: {sealed / records:.1f} bytes each, both maps sealed;")
    say(f"  {sealed / records * share:.1f} with PostgreSQL's pages and index.")
