from django.db import migrations

# stage: minutes, percents, window in minutes
STAGES = {
    "DARK_MODE": (10, [], None),
    "SHADOW_MODE": (15, [], None),
    "PARTIAL_ACTIVE": (20, [10, 25, 50], None),
    "FULL_ACTIVE": (10, [], 10),
}
# guard: limit (of a hit rate the share of misses; of error_rate the level of its test), minimum sample, where it leads
COMMON = {"feed_health": (0.5, 1, "warn")}
PROBES = {"hit_rate": (0.3, 50, "disable")}
CANDIDATE = {"errors": (5, 50, "disable"), "p95_ms": (1000, 50, "disable")} | PROBES
GUARDS = {
    "DARK_MODE": PROBES | COMMON,
    "SHADOW_MODE": CANDIDATE | {"mismatch_rate": (0.01, 50, "disable")} | COMMON,
    "PARTIAL_ACTIVE": CANDIDATE | COMMON,
    "FULL_ACTIVE": CANDIDATE | {"error_rate": (0.001, 1000, "disable")} | COMMON,
}


def make(apps, schema_editor):
    Rollout, StagePolicy, GuardPolicy = (
        apps.get_model("rollout", name) for name in ("Rollout", "StagePolicy", "GuardPolicy")
    )
    rollout, is_new = Rollout.objects.get_or_create(name="derived-data")
    for stage, (minutes, percents, window) in STAGES.items() if is_new else ():
        policy = StagePolicy.objects.create(
            rollout=rollout, stage=stage, minutes=minutes, percents=percents, window_minutes=window
        )
        for guard, (at_most, samples, leads) in GUARDS[stage].items():
            GuardPolicy.objects.create(policy=policy, guard=guard, at_most=at_most, min_samples=samples, leads=leads)


class Migration(migrations.Migration):
    dependencies = [("rollout", "0003_rollouts")]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
