"""Row-level security: a transaction sees the rows of its tenant (`accounts.tenancy`)."""

from django.db import migrations

BATCH = """
ALTER TABLE inbox_batch ENABLE ROW LEVEL SECURITY;
ALTER TABLE inbox_batch FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON inbox_batch USING (tenant_id = current_setting('icr.tenant', true));
"""

# Ciphertext: PostgreSQL need not try to compress it.
BODY = "ALTER TABLE inbox_batch ALTER COLUMN body SET STORAGE EXTERNAL"


class Migration(migrations.Migration):
    dependencies = [("inbox", "0002_batch_sealing"), ("accounts", "0003_row_security")]

    operations = [migrations.RunSQL(BATCH), migrations.RunSQL(BODY)]
