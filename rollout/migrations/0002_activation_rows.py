from typing import Any

from django.db import migrations

PARTS = ["polling", "warming", "serving", "advancing"]


def switch_on(apps: Any, schema_editor: Any) -> None:
    activation = apps.get_model("rollout", "Activation")
    for part in PARTS:
        activation.objects.get_or_create(part=part)


class Migration(migrations.Migration):
    dependencies = [("rollout", "0001_initial")]
    operations = [migrations.RunPython(switch_on, migrations.RunPython.noop)]
