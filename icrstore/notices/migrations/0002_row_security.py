"""Row-level security: a transaction sees the rows of its tenant (`accounts.tenancy`)."""

from django.db import migrations

EVERY_TABLE = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT table_name FROM information_schema.columns
                WHERE table_schema = 'public' AND column_name = 'tenant_id'
                  AND table_name LIKE 'notices\\_%' LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I'
                       ' USING (tenant_id = current_setting(''icr.tenant'', true))', name);
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("notices", "0001_initial"), ("accounts", "0003_row_security")]

    operations = [migrations.RunSQL(EVERY_TABLE)]
