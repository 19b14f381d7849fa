from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("inbox", "0004_batch_signed"), ("accounts", "0010_quota")]

    operations = [
        migrations.AddField("batch", "gaps", models.JSONField(default=list)),
        migrations.AddField("batch", "tries", models.PositiveSmallIntegerField(default=0)),
        migrations.AddIndex(
            "batch",
            models.Index(
                fields=["tenant", "last_hour"],
                name="batch_tells_of_gaps",
                condition=~models.Q(gaps=[]),
            ),
        ),
        migrations.AddIndex(
            "batch",
            models.Index(
                fields=["tenant", "collector", "accepted_at"],
                include=["body_bytes"],
                name="batch_handed_in",
            ),
        ),
    ]
