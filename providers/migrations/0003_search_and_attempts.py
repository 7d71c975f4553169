
import django.contrib.postgres.indexes
import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('providers', '0002_fleet_health_and_game_logs'),
    ]

    operations = [
        migrations.AddField(
            model_name='gamelogupload',
            name='attempts',
            field=models.PositiveSmallIntegerField(default=0, help_text='workers that took it'),
        ),
        migrations.AddIndex(
            model_name='gamelog',
            index=models.Index(fields=['-played_on', '-id'], name='game_log_newest'),
        ),
        migrations.AddIndex(
            model_name='gamelog',
            index=models.Index(django.contrib.postgres.indexes.OpClass(django.db.models.functions.text.Upper('player'), name='text_pattern_ops'), name='game_log_search'),
        ),
        migrations.AddIndex(
            model_name='propline',
            index=models.Index(django.contrib.postgres.indexes.OpClass(django.db.models.functions.text.Upper('player'), name='text_pattern_ops'), name='prop_line_search'),
        ),
    ]
