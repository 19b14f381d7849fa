from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("inbox", "0001_initial")]

    operations = [migrations.AddField("batch", "sealing", models.BinaryField(null=True))]
