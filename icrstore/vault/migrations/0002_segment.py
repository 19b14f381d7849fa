"""Segments and the buckets of manifests: opaque rows, a partition for each month, by COPY."""

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

# ``begins``: the first label that a bucket answers for; one probe finds the bucket of any label.
BUCKET = """
CREATE TABLE vault_bucket (
    month integer NOT NULL,
    epoch_no bigint NOT NULL,
    begins bytea NOT NULL,
    number integer NOT NULL,
    leaf bytea NOT NULL,
    path bytea NOT NULL,
    PRIMARY KEY (month, epoch_no, begins)
) PARTITION BY LIST (month);
-- 2 KB each, just too long to stay in the row: PLAIN keeps it there, and saves a second probe.
ALTER TABLE vault_bucket ALTER COLUMN leaf SET STORAGE PLAIN, ALTER COLUMN path SET STORAGE PLAIN;
"""

# Runs as its owner, so that a sealer may have a month made without owning any table.
MAKE_MONTH = """
CREATE FUNCTION vault_make_month(month integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['vault_segment', 'vault_bucket'] LOOP
        IF to_regclass(parent || '_' || month) IS NULL THEN
            -- Of two sealers who come at once the second waits, and then finds it made: IF NOT
            -- EXISTS alone fails where the first has not committed yet.
            PERFORM pg_advisory_xact_lock(hashtext('vault_make_month'));
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES IN (%s)',
                           parent || '_' || month, parent, month);
        END IF;
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("vault", "0001_initial"), ("inbox", "0001_initial")]

    operations = [
        migrations.RunSQL(SEGMENT, "DROP TABLE vault_segment"),
        migrations.RunSQL(BUCKET, "DROP TABLE vault_bucket"),
        migrations.RunSQL(MAKE_MONTH, "DROP FUNCTION vault_make_month(integer)"),
    ]
