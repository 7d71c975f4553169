
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('providers', '0003_search_and_attempts'),
    ]

    operations = [
        migrations.AddField(
            model_name='gamelog',
            name='game_number',
            field=models.PositiveSmallIntegerField(default=0, help_text="of a double-header's games; else 0"),
        ),
    ]
