from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_forgotten")]

    operations = [
        migrations.AddField("policy", "about", models.CharField(default="pools", max_length=16)),
        migrations.RemoveConstraint("policy", "policy_hour"),
        migrations.AddConstraint(
            "policy",
            models.UniqueConstraint(
                condition=models.Q(("about", "pools")),
                fields=("tenant", "effective"),
                name="policy_hour",
            ),
        ),
        migrations.AddConstraint(
            "policy",
            models.UniqueConstraint(fields=("tenant", "sha256"), name="policy_once"),
        ),
    ]
