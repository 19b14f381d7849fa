from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("query", "0001_initial")]

    operations = [migrations.AddField("query", "waiting", models.JSONField(null=True))]
