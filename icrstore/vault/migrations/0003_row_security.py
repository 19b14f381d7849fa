"""Row-level security: a transaction sees the rows of its tenant (`accounts.tenancy`).

Not the segments and buckets: COPY into a table under it is refused, reading a partition would skip the parent's
policy, and without keys that no database has a row there says nothing.
"""

from django.db import migrations

EPOCH = """
ALTER TABLE vault_epoch ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_epoch FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_epoch USING (tenant_id = current_setting('icr.tenant', true));
"""

# Whose the epoch is, theirs is the row; the policy of the epochs holds within this one.
OF_EPOCH = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} USING (
    EXISTS (SELECT 1 FROM vault_epoch WHERE vault_epoch.id = {table}.epoch_id));
"""


class Migration(migrations.Migration):
    dependencies = [("vault", "0002_segment"), ("accounts", "0003_row_security")]

    operations = [
        migrations.RunSQL(EPOCH),
        migrations.RunSQL(OF_EPOCH.format(table="vault_epochseal")),
        migrations.RunSQL(OF_EPOCH.format(table="vault_epoch_batches")),
    ]
