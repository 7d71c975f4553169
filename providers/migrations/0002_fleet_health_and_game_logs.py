import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


# The next change of configuration brings the members' own values.
FILL_SLOTS = """
UPDATE providers_pollslot SET effective_interval_seconds = interval_seconds, max_retries = 3, requests_per_minute = 60"""
ONE_ALERT = "INSERT INTO providers_fleetalert (id) VALUES (1)"


class Migration(migrations.Migration):

    dependencies = [
        ('providers', '0001_initial'),
    ]

    operations = [
        migrations.AlterField(
            model_name='pollslot',
            name='adapter',
            field=models.CharField(choices=[('odds_api', 'The Odds API v4'), ('sportradar', 'Sportradar'), ('prizepicks', 'PrizePicks (unofficial)')], max_length=16),
        ),
        migrations.AlterField(
            model_name='provider',
            name='adapter',
            field=models.CharField(choices=[('odds_api', 'The Odds API v4'), ('sportradar', 'Sportradar'), ('prizepicks', 'PrizePicks (unofficial)')], help_text="which API the upstream speaks; PrizePicks' is unofficial: may change any day, and be forbidden", max_length=16),
        ),
        migrations.AlterField(
            model_name='providerevent',
            name='adapter',
            field=models.CharField(choices=[('odds_api', 'The Odds API v4'), ('sportradar', 'Sportradar'), ('prizepicks', 'PrizePicks (unofficial)')], help_text="which API the upstream speaks; PrizePicks' is unofficial: may change any day, and be forbidden", max_length=16),
        ),
        migrations.AddField(
            model_name='fetchattempt',
            name='lines',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.PositiveIntegerField(), default=list, help_text="of each provider, in a good poll's first call", size=None),
        ),
        migrations.AddField(
            model_name='pollslot',
            name='credits_per_poll',
            field=models.FloatField(db_default=0, help_text='what the last poll cost, where the upstream tells'),
        ),
        migrations.AddField(
            model_name='pollslot',
            name='effective_interval_seconds',
            field=models.FloatField(default=1, help_text="longer where the account's month would not last"),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='pollslot',
            name='max_retries',
            field=models.PositiveIntegerField(default=1, help_text="the smallest of the members'"),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='pollslot',
            name='requests_per_minute',
            field=models.PositiveIntegerField(default=1, help_text="the account's: the smallest of its members'"),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name='fetchattempt',
            name='outcome',
            field=models.CharField(choices=[('ok', 'Ok'), ('timeout', 'Timed out'), ('unreachable', 'Unreachable'), ('refused', 'Refused'), ('throttled', 'Throttled'), ('out_of_quota', 'Out of quota'), ('http_error', 'HTTP error'), ('unreadable', 'Unreadable'), ('too_large', 'Too large')], max_length=16),
        ),
        migrations.AlterField(
            model_name='pollslot',
            name='backoff_level',
            field=models.PositiveSmallIntegerField(db_default=0, help_text='0: well; else members are in error'),
        ),
        migrations.AlterField(
            model_name='event',
            name='home_team',
            field=models.CharField(help_text='both teams, where it is not known which is at home', max_length=100),
        ),
        migrations.AlterField(
            model_name='propline',
            name='event',
            field=models.ForeignKey(help_text='empty: a line of no single game', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='lines', to='providers.event'),
        ),
        migrations.AlterField(
            model_name='propline',
            name='price',
            field=models.FloatField(help_text='as the upstream sends it, American by default; empty: none', null=True),
        ),
        migrations.AlterField(
            model_name='propline',
            name='side',
            field=models.CharField(blank=True, default='', help_text='Over, Under or a team; may be empty', max_length=100),
        ),
        migrations.CreateModel(
            name='FleetAlert',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('since', models.DateTimeField(help_text='empty: no alert', null=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('pk', 1)), name='fleet_alert_one_row')],
            },
        ),
        migrations.CreateModel(
            name='GameLogUpload',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text="the file's", max_length=200)),
                ('size_bytes', models.PositiveBigIntegerField()),
                ('format', models.CharField(blank=True, default='', help_text='empty: told by its columns', max_length=16)),
                ('mapping', models.JSONField(blank=True, default=dict, help_text='column to statistic, where they differ')),
                ('skip_bad', models.BooleanField(default=False)),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('done', 'Done'), ('failed', 'Failed')], default='waiting', max_length=8)),
                ('outcome', models.JSONField(blank=True, default=dict)),
                ('problem', models.TextField(blank=True, default='')),
                ('uploaded_by', models.CharField(max_length=150)),
                ('uploaded_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('ended_at', models.DateTimeField(null=True)),
                ('sport', models.ForeignKey(db_column='sport', on_delete=django.db.models.deletion.PROTECT, to='providers.sport')),
            ],
            options={
                'verbose_name': 'game log upload',
                'permissions': [('import_gamelog', 'Can import game logs')],
            },
        ),
        migrations.CreateModel(
            name='PriceMove',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('was', models.FloatField(null=True)),
                ('price', models.FloatField(null=True)),
                ('moved_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True)),
                ('line', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='moves', to='providers.propline')),
            ],
        ),
        migrations.CreateModel(
            name='UploadedPart',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('logs', 'Game logs'), ('schedule', 'Schedule')], max_length=8)),
                ('number', models.PositiveIntegerField()),
                ('content', models.BinaryField()),
                ('upload', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='providers.gamelogupload')),
            ],
        ),
        migrations.CreateModel(
            name='GameLog',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(help_text='`stub`, or the format it was imported from', max_length=16)),
                ('player_id', models.CharField(help_text="the source's; the name where it has none", max_length=64)),
                ('player', models.CharField(max_length=100)),
                ('team', models.CharField(blank=True, default='', max_length=100)),
                ('position', models.CharField(blank=True, default='', max_length=16)),
                ('game', models.CharField(max_length=64)),
                ('played_on', models.DateField()),
                ('stats', models.JSONField(help_text='statistic to count')),
                ('sport', models.ForeignKey(db_column='sport', on_delete=django.db.models.deletion.PROTECT, to='providers.sport')),
            ],
            options={
                'indexes': [models.Index(fields=['sport', 'player', '-played_on'], name='game_log_player')],
                'constraints': [models.UniqueConstraint(fields=('source', 'sport', 'game', 'player_id'), name='game_log_unique')],
            },
        ),
        migrations.AddConstraint(
            model_name='gamelogupload',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'done', 'failed'])), name='upload_state_known'),
        ),
        migrations.AddIndex(
            model_name='pricemove',
            index=models.Index(fields=['line', 'moved_at'], name='price_move_line'),
        ),
        migrations.AddConstraint(
            model_name='uploadedpart',
            constraint=models.UniqueConstraint(fields=('upload', 'kind', 'number'), name='uploaded_part_unique'),
        ),
        migrations.RunSQL(FILL_SLOTS, migrations.RunSQL.noop),
        migrations.RunSQL(ONE_ALERT, migrations.RunSQL.noop),
    ]
