import django.db.models.deletion
from django.db import migrations, models

OF_TENANT = """
ALTER TABLE accounts_policy ENABLE ROW LEVEL SECURITY;
ALTER TABLE accounts_policy FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON accounts_policy USING (tenant_id = current_setting('icr.tenant', true));
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_oversight")]

    operations = [
        migrations.CreateModel(
            name="Policy",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("sha256", models.BinaryField()),
                ("effective", models.DateTimeField()),
                ("statement", models.BinaryField()),
                ("keepers", models.JSONField(default=dict)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, to="accounts.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "effective"), name="policy_hour")
                ],
            },
        ),
        migrations.RunSQL(OF_TENANT),
    ]
