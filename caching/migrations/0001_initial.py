
import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('pghistory', '0007_auto_20250421_0444'),
    ]

    operations = [
        migrations.CreateModel(
            name='CachePolicyEvent',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('cache_type', models.CharField(choices=[('CACHE_CORRELATION', 'Correlation'), ('CACHE_FACTOR', 'Factor model'), ('CACHE_PLAYER', 'Player projection')], max_length=20, serialize=False)),
                ('ttl_hours', models.FloatField(help_text='how long an entry is fresh')),
                ('soft_fraction', models.FloatField(default=0.9, help_text='share of that after which it is refreshed')),
                ('grace_hours', models.FloatField(default=24, help_text='how long after that it is kept, and served as stale')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='CacheTarget',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('cache_type', models.CharField(choices=[('CACHE_CORRELATION', 'Correlation'), ('CACHE_FACTOR', 'Factor model'), ('CACHE_PLAYER', 'Player projection')], max_length=20)),
                ('sport', models.CharField(max_length=8)),
                ('subject', models.SlugField(help_text="statistic, `model`, or the player's slug", max_length=100)),
                ('name', models.CharField(help_text="the statistic's or the player's, as the game logs have it", max_length=100)),
                ('model_version', models.CharField(default='v1', help_text='which version is computed and served', max_length=16)),
                ('is_enabled', models.BooleanField(default=True, verbose_name='enabled')),
                ('last_error', models.TextField(blank=True, default='', help_text='empty after a good computation')),
                ('lease_until', models.DateTimeField(editable=False, null=True)),
                ('fence', models.PositiveBigIntegerField(db_default=0, editable=False)),
            ],
            options={
                'ordering': ['cache_type', 'sport', 'subject'],
                'permissions': [('warm_cachetarget', 'Can warm cache targets')],
            },
        ),
        migrations.CreateModel(
            name='CacheTargetEvent',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('cache_type', models.CharField(choices=[('CACHE_CORRELATION', 'Correlation'), ('CACHE_FACTOR', 'Factor model'), ('CACHE_PLAYER', 'Player projection')], max_length=20)),
                ('sport', models.CharField(max_length=8)),
                ('subject', models.SlugField(db_index=False, help_text="statistic, `model`, or the player's slug", max_length=100)),
                ('name', models.CharField(help_text="the statistic's or the player's, as the game logs have it", max_length=100)),
                ('model_version', models.CharField(default='v1', help_text='which version is computed and served', max_length=16)),
                ('is_enabled', models.BooleanField(default=True, verbose_name='enabled')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='CacheEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('cache_key', models.CharField(help_text='type:sport:subject:model_version', max_length=255, unique=True)),
                ('cache_type', models.CharField(choices=[('CACHE_CORRELATION', 'Correlation'), ('CACHE_FACTOR', 'Factor model'), ('CACHE_PLAYER', 'Player projection')], max_length=20)),
                ('data_json', models.TextField(help_text='the payload, as text: read six times cheaper than jsonb')),
                ('sport', models.CharField(max_length=8)),
                ('subject', models.CharField(max_length=100)),
                ('model_version', models.CharField(max_length=16)),
                ('data_hash', models.CharField(help_text='SHA-256 of the payload', max_length=64)),
                ('context_json', models.JSONField(default=dict, help_text='which input it was computed from')),
                ('narrative', models.TextField(blank=True, default='')),
                ('key_points', models.JSONField(default=list)),
                ('confidence', models.FloatField(help_text="0 to 1, by the warmer's formula")),
                ('sample_size', models.PositiveIntegerField(help_text='games')),
                ('generation_time_ms', models.FloatField()),
                ('size_bytes', models.PositiveIntegerField()),
                ('hit_count', models.PositiveBigIntegerField(default=0)),
                ('last_accessed_at', models.DateTimeField(blank=True, null=True)),
                ('soft_expires_at', models.DateTimeField(help_text='from then on it is refreshed')),
                ('expires_at', models.DateTimeField(db_index=True, help_text='from then on it is stale')),
                ('ttl_seconds', models.PositiveIntegerField()),
                ('is_flagged', models.BooleanField(default=False, help_text='somebody looks at it: it is not expired', verbose_name='flagged')),
                ('version', models.PositiveIntegerField(default=1, help_text='one more with every payload that differs')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'verbose_name_plural': 'cache entries',
                'db_table': 'portfolio_rationales',
                'permissions': [('expire_cacheentry', 'Can expire cache entries'), ('flag_cacheentry', 'Can flag cache entries')],
                'constraints': [models.CheckConstraint(condition=models.Q(('cache_type__in', ['CACHE_CORRELATION', 'CACHE_FACTOR', 'CACHE_PLAYER'])), name='cache_entry_type_known'), models.CheckConstraint(condition=models.Q(('confidence__range', (0, 1))), name='cache_entry_confidence_0_to_1'), models.CheckConstraint(condition=models.Q(('expires_at__gte', models.F('soft_expires_at'))), name='cache_entry_soft_first')],
            },
        ),
        migrations.CreateModel(
            name='CachePolicy',
            fields=[
                ('cache_type', models.CharField(choices=[('CACHE_CORRELATION', 'Correlation'), ('CACHE_FACTOR', 'Factor model'), ('CACHE_PLAYER', 'Player projection')], max_length=20, primary_key=True, serialize=False)),
                ('ttl_hours', models.FloatField(help_text='how long an entry is fresh')),
                ('soft_fraction', models.FloatField(default=0.9, help_text='share of that after which it is refreshed')),
                ('grace_hours', models.FloatField(default=24, help_text='how long after that it is kept, and served as stale')),
            ],
            options={
                'verbose_name_plural': 'cache policies',
                'constraints': [models.CheckConstraint(condition=models.Q(('cache_type__in', ['CACHE_CORRELATION', 'CACHE_FACTOR', 'CACHE_PLAYER'])), name='cache_policy_type_known'), models.CheckConstraint(condition=models.Q(('ttl_hours__gt', 0), ('ttl_hours__lte', 24)), name='cache_policy_ttl_up_to_24_h'), models.CheckConstraint(condition=models.Q(('soft_fraction__gt', 0), ('soft_fraction__lte', 1)), name='cache_policy_soft_share'), models.CheckConstraint(condition=models.Q(('grace_hours__gte', 0)), name='cache_policy_grace_not_negative')],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='cachepolicy',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "caching_cachepolicyevent" ("cache_type", "grace_hours", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "soft_fraction", "ttl_hours") VALUES (NEW."cache_type", NEW."grace_hours", _pgh_attach_context(), NOW(), \'insert\', NEW."cache_type", NEW."soft_fraction", NEW."ttl_hours"); RETURN NULL;', hash='b84826204e7a2288f39a7260df6261de20b4d681', operation='INSERT', pgid='pgtrigger_insert_insert_2e896', table='caching_cachepolicy', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='cachepolicy',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "caching_cachepolicyevent" ("cache_type", "grace_hours", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "soft_fraction", "ttl_hours") VALUES (NEW."cache_type", NEW."grace_hours", _pgh_attach_context(), NOW(), \'update\', NEW."cache_type", NEW."soft_fraction", NEW."ttl_hours"); RETURN NULL;', hash='fc6a2d191207fa6a97268571e0de6ad049649764', operation='UPDATE', pgid='pgtrigger_update_update_9d83d', table='caching_cachepolicy', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='cachepolicy',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "caching_cachepolicyevent" ("cache_type", "grace_hours", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "soft_fraction", "ttl_hours") VALUES (OLD."cache_type", OLD."grace_hours", _pgh_attach_context(), NOW(), \'delete\', OLD."cache_type", OLD."soft_fraction", OLD."ttl_hours"); RETURN NULL;', hash='4a11d18aa0640ac2cf828381fd3a7460aed629e1', operation='DELETE', pgid='pgtrigger_delete_delete_d7311', table='caching_cachepolicy', when='AFTER')),
        ),
        migrations.AddField(
            model_name='cachepolicyevent',
            name='pgh_context',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context'),
        ),
        migrations.AddField(
            model_name='cachepolicyevent',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='caching.cachepolicy'),
        ),
        migrations.AddConstraint(
            model_name='cachetarget',
            constraint=models.UniqueConstraint(fields=('cache_type', 'sport', 'subject'), name='cache_target_unique'),
        ),
        migrations.AddConstraint(
            model_name='cachetarget',
            constraint=models.CheckConstraint(condition=models.Q(('cache_type__in', ['CACHE_CORRELATION', 'CACHE_FACTOR', 'CACHE_PLAYER'])), name='cache_target_type_known'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='cachetarget',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "caching_cachetargetevent" ("cache_type", "is_enabled", "model_version", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "sport", "subject") VALUES (NEW."cache_type", NEW."is_enabled", NEW."model_version", NEW."name", _pgh_attach_context(), NOW(), \'insert\', NEW."id", NEW."sport", NEW."subject"); RETURN NULL;', hash='99b9eb2e9a0c928c42c990ae8e318dc4bc307004', operation='INSERT', pgid='pgtrigger_insert_insert_285de', table='caching_cachetarget', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='cachetarget',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."cache_type" IS DISTINCT FROM (NEW."cache_type") OR OLD."is_enabled" IS DISTINCT FROM (NEW."is_enabled") OR OLD."model_version" IS DISTINCT FROM (NEW."model_version") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."sport" IS DISTINCT FROM (NEW."sport") OR OLD."subject" IS DISTINCT FROM (NEW."subject"))', func='INSERT INTO "caching_cachetargetevent" ("cache_type", "is_enabled", "model_version", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "sport", "subject") VALUES (NEW."cache_type", NEW."is_enabled", NEW."model_version", NEW."name", _pgh_attach_context(), NOW(), \'update\', NEW."id", NEW."sport", NEW."subject"); RETURN NULL;', hash='b283b5bde43213da647e452e43397f3952a48a17', operation='UPDATE', pgid='pgtrigger_update_update_c1d02', table='caching_cachetarget', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='cachetarget',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "caching_cachetargetevent" ("cache_type", "is_enabled", "model_version", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "sport", "subject") VALUES (OLD."cache_type", OLD."is_enabled", OLD."model_version", OLD."name", _pgh_attach_context(), NOW(), \'delete\', OLD."id", OLD."sport", OLD."subject"); RETURN NULL;', hash='45b8c42942d047e229959450b3b2c4ab349fe890', operation='DELETE', pgid='pgtrigger_delete_delete_444c9', table='caching_cachetarget', when='AFTER')),
        ),
        migrations.AddField(
            model_name='cachetargetevent',
            name='pgh_context',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context'),
        ),
        migrations.AddField(
            model_name='cachetargetevent',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='cache_type_sport_subject_name_model_version_is_enabled_events', to='caching.cachetarget'),
        ),
    ]
