import django.db.models.deletion
from django.db import migrations, models

OF_TENANT = """
ALTER TABLE accounts_revocation ENABLE ROW LEVEL SECURITY;
ALTER TABLE accounts_revocation FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON accounts_revocation USING (tenant_id = current_setting('icr.tenant', true));
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_collector_grant")]

    operations = [
        migrations.CreateModel(
            name="Revocation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("issuer", models.CharField(max_length=64)),
                ("keyid", models.CharField(max_length=16)),
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
                    models.UniqueConstraint(
                        fields=("tenant", "issuer", "keyid"), name="revocation_once"
                    )
                ],
            },
        ),
        migrations.RunSQL(OF_TENANT),
    ]
