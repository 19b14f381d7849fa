from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_backfill")]

    operations = [migrations.AddField("collector", "grant", models.BinaryField(null=True))]
