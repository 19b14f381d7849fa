from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("inbox", "0003_row_security"), ("accounts", "0008_collector_grant")]

    operations = [
        migrations.AddField("batch", "signed", models.BinaryField(null=True)),
        migrations.AddIndex(
            "batch",
            models.Index(
                fields=["tenant", "collector", "stream", "accepted_at", "sequence"],
                name="batch_came",
            ),
        ),
    ]
