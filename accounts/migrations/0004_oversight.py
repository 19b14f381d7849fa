"""Oversight bodies, each under its tenant's row-level security (`accounts.tenancy`)."""

import django.db.models.deletion
from django.db import migrations, models

OF_TENANT = """
ALTER TABLE accounts_oversightbody ENABLE ROW LEVEL SECURITY;
ALTER TABLE accounts_oversightbody FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON accounts_oversightbody
    USING (tenant_id = current_setting('icr.tenant', true));
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_row_security")]

    operations = [
        migrations.CreateModel(
            name="OversightBody",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=64)),
                ("root_key", models.BinaryField()),
                ("tenant", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="accounts.tenant")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("tenant", "name"), name="oversight_tenant_name")],
            },
        ),
        migrations.RunSQL(OF_TENANT),
    ]
