"""The copies: which log is whose is under row-level security, what is in it is anyone's."""

import django.db.models.deletion
from django.db import migrations, models

LOG = """
ALTER TABLE ledger_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_log FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ledger_log USING (tenant_id = current_setting('icr.tenant', true));
-- Anyone who names a log may read it.
CREATE POLICY caller ON ledger_log FOR SELECT
    USING (pseudonym = current_setting('icr.caller', true));
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0004_oversight'),
    ]

    operations = [
        migrations.CreateModel(
            name='Log',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(max_length=16)),
                ('origin', models.CharField(max_length=160, unique=True)),
                ('pseudonym', models.CharField(max_length=16)),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='accounts.tenant')),
            ],
        ),
        migrations.CreateModel(
            name='Leaf',
            fields=[
                ('pk', models.CompositePrimaryKey('log_id', 'number', blank=True, editable=False, primary_key=True, serialize=False)),
                ('number', models.BigIntegerField()),
                ('text', models.TextField()),
                ('log', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to='ledger.log')),
            ],
        ),
        migrations.CreateModel(
            name='Node',
            fields=[
                ('pk', models.CompositePrimaryKey('log_id', 'level', 'number', blank=True, editable=False, primary_key=True, serialize=False)),
                ('level', models.PositiveSmallIntegerField()),
                ('number', models.BigIntegerField()),
                ('hash', models.BinaryField()),
                ('log', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to='ledger.log')),
            ],
        ),
        migrations.CreateModel(
            name='Checkpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('size', models.BigIntegerField()),
                ('cosigned_at', models.DateTimeField()),
                ('note', models.TextField()),
                ('log', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='checkpoints', to='ledger.log')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('log', 'size', 'cosigned_at'), name='checkpoint_once')],
            },
        ),
        migrations.RunSQL(LOG),
    ]
