"""The segment table: opaque rows, a partition for each month, written by COPY."""

from django.db import migrations

SEGMENT = """
CREATE TABLE vault_segment (
    month integer NOT NULL,
    epoch_no bigint NOT NULL,
    label bytea NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (month, epoch_no, label)
) PARTITION BY LIST (month);
-- Ciphertext does not compress: EXTERNAL saves PostgreSQL the try. Partitions made later have it too.
ALTER TABLE vault_segment ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE inbox_batch ALTER COLUMN body SET STORAGE EXTERNAL;
"""

# Runs as its owner, so that a sealer may have a month made without owning any table.
MAKE_MONTH = """
CREATE FUNCTION vault_make_month(month integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF to_regclass('vault_segment_' || month) IS NULL THEN
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF vault_segment FOR VALUES IN (%s)',
                       'vault_segment_' || month, month);
    END IF;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("vault", "0001_initial"), ("inbox", "0001_initial")]

    operations = [
        migrations.RunSQL(SEGMENT, "DROP TABLE vault_segment"),
        migrations.RunSQL(MAKE_MONTH, "DROP FUNCTION vault_make_month(integer)"),
    ]
