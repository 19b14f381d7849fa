"""Row-level security: a transaction sees the rows of its tenant (`accounts.tenancy`)."""

from django.db import migrations

TENANT = """
ALTER TABLE accounts_tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE accounts_tenant FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON accounts_tenant USING (name = current_setting('icr.tenant', true));
-- The owner keeps the list; who else reads all of it is said in deploy/postgres/grants.sql.
CREATE POLICY owner ON accounts_tenant TO CURRENT_USER USING (true);
"""

OF_TENANT = """
ALTER TABLE accounts_{table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE accounts_{table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON accounts_{table} USING (tenant_id = current_setting('icr.tenant', true));
"""

# By these a caller's tenant is found.
OF_CALLER = """
CREATE POLICY caller ON accounts_{table} FOR SELECT
    USING ({column} = current_setting('icr.caller', true));
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_enrolment")]

    operations = [
        migrations.RunSQL(TENANT),
        *(
            migrations.RunSQL(OF_TENANT.format(table=table))
            for table in ("authority", "collector", "enrolment", "principal")
        ),
        *(
            migrations.RunSQL(OF_CALLER.format(table=table, column=column))
            for table, column in (
                ("collector", "keyid"), ("principal", "keyid"), ("enrolment", "token_sha256")
            )
        ),
    ]
