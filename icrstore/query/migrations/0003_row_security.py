"""Row-level security: a transaction sees the rows of its tenant (`accounts.tenancy`)."""

from django.db import migrations

OF_TENANT = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} USING (tenant_id = current_setting('icr.tenant', true));
"""


class Migration(migrations.Migration):
    dependencies = [("query", "0002_query_waiting"), ("accounts", "0003_row_security")]

    operations = [
        migrations.RunSQL(OF_TENANT.format(table="query_lodgedwarrant")),
        migrations.RunSQL(OF_TENANT.format(table="query_query")),
    ]
