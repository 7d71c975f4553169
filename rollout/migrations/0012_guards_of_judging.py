import pghistory
from django.db import migrations

# For each stage the guards that it gets in addition: limit, minimum sample, where a violation leads.
TRAFFIC = {"traffic": (0, 50, "disable")}
ERROR_RATE = {"error_rate": (0.01, 50, "disable")}
LATENCY = {"latency": (0, 50, "warn")}
ADDED = {
    "DARK_MODE": TRAFFIC | {"errors": (5, 50, "disable")} | ERROR_RATE | {"p95_ms": (1000, 50, "disable")},
    "SHADOW_MODE": TRAFFIC | ERROR_RATE | LATENCY,
    "PARTIAL_ACTIVE": ERROR_RATE | LATENCY | {"assignment": (0, 50, "warn")},
    "FULL_ACTIVE": ERROR_RATE | LATENCY,
}


def add_guards(apps, schema_editor):
    """Give each stage its new guards.

    The limit of error_rate was the level of a test, and is the largest share of errors now.
    """
    StagePolicy, GuardPolicy = (apps.get_model("rollout", name) for name in ("StagePolicy", "GuardPolicy"))
    # One that no operator has edited is replaced, so that the history of a new installation begins without an edit.
    default = {"at_most": 0.001, "min_samples": 1000, "leads": "disable", "is_on": True}
    GuardPolicy.objects.filter(guard="error_rate", **default).delete()
    edited = GuardPolicy.objects.filter(guard="error_rate")
    if edited.exists():
        with pghistory.context(actor="migration 0012", verb="change"):
            edited.update(at_most=0.01, min_samples=50)
    for policy in StagePolicy.objects.order_by("pk"):
        for guard, (at_most, samples, leads) in ADDED[policy.stage].items():
            values = {"at_most": at_most, "min_samples": samples, "leads": leads}
            GuardPolicy.objects.get_or_create(policy=policy, guard=guard, metric="", defaults=values)


def remove_guards(apps, schema_editor):
    """Remove the guards that the release before does not know, and put the level of its test back."""
    GuardPolicy = apps.get_model("rollout", "GuardPolicy")
    GuardPolicy.objects.filter(guard__in=["traffic", "latency", "assignment", "own_share", "own_mean"]).delete()
    GuardPolicy.objects.filter(guard="error_rate").exclude(policy__stage="FULL_ACTIVE").delete()
    GuardPolicy.objects.filter(guard="error_rate").update(at_most=0.001, min_samples=1000)
    GuardPolicy.objects.filter(policy__stage="DARK_MODE", guard__in=["errors", "p95_ms"]).delete()
    schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    schema_editor.execute("SET CONSTRAINTS ALL DEFERRED")


class Migration(migrations.Migration):
    dependencies = [("rollout", "0011_judging")]
    operations = [migrations.RunPython(add_guards, remove_guards)]
