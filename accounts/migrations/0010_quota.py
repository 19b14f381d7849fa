from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_revocation")]

    operations = [
        migrations.AddField("collector", "hour_batches", models.BigIntegerField(default=20_000)),
        migrations.AddField("collector", "hour_bytes", models.BigIntegerField(default=16 << 30)),
        migrations.AddField("collector", "day_batches", models.BigIntegerField(default=200_000)),
        migrations.AddField("collector", "day_bytes", models.BigIntegerField(default=64 << 30)),
    ]
