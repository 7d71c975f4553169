from django.db import migrations

POLICIES = [("CACHE_CORRELATION", 3), ("CACHE_FACTOR", 6), ("CACHE_PLAYER", 1)]
CORRELATIONS = {
    "NBA": ["points", "rebounds", "assists", "threes", "steals"],
    "MLB": ["hits", "runs", "rbis", "home_runs", "strikeouts"],
    "NFL": ["passing_yards", "rushing_yards", "touchdowns", "receptions", "sacks"],
}
FACTORS = {"NBA": "v2.1", "MLB": "v1.8", "NFL": "v3.0", "NHL": "v1.5"}
PLAYERS = {
    "NBA": ["LeBron James", "Luka Doncic"],
    "MLB": ["Aaron Judge", "Mookie Betts"],
    "NFL": ["Josh Allen", "Patrick Mahomes"],
}


def fill(apps, schema_editor):
    CachePolicy, CacheTarget = (apps.get_model("caching", name) for name in ("CachePolicy", "CacheTarget"))
    CachePolicy.objects.bulk_create(CachePolicy(cache_type=type, ttl_hours=hours) for type, hours in POLICIES)
    rows = [("CACHE_CORRELATION", sport, name, name, "v1") for sport, names in CORRELATIONS.items() for name in names]
    rows += [("CACHE_FACTOR", sport, "model", "model", version) for sport, version in FACTORS.items()]
    rows += [
        ("CACHE_PLAYER", sport, name.lower().replace(" ", "-"), name, "v1")
        for sport, names in PLAYERS.items()
        for name in names
    ]
    columns = ("cache_type", "sport", "subject", "name", "model_version")
    CacheTarget.objects.bulk_create(CacheTarget(**dict(zip(columns, row))) for row in rows)


class Migration(migrations.Migration):
    dependencies = [("caching", "0001_initial")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
