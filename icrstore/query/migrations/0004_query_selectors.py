from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("query", "0003_row_security")]

    operations = [
        # The database's default, so that web of last week can still queue.
        migrations.AddField("query", "selectors", models.PositiveIntegerField(db_default=0)),
    ]
