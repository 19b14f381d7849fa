"""The segment table: opaque rows, a partition for each month, written by COPY."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("vault", "0001_initial")]

    operations = [
        migrations.RunSQL(
            """
            CREATE TABLE vault_segment (
                month integer NOT NULL,
                epoch_no bigint NOT NULL,
                label bytea NOT NULL,
                -- Ciphertext does not compress: EXTERNAL saves PostgreSQL the try.
                body bytea STORAGE EXTERNAL NOT NULL,
                PRIMARY KEY (month, epoch_no, label)
            ) PARTITION BY LIST (month);
            """,
            "DROP TABLE vault_segment",
        ),
    ]
