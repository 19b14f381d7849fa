from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_policy")]

    operations = [
        migrations.AddField(
            model_name="collector",
            name="forgotten",
            field=models.JSONField(default=dict),
        ),
    ]
