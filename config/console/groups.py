"""The three groups. They are the code's: each bootstrap sets them to this; a group of your own stays as it is."""

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

OURS = ["rollout", "providers", "caching", "validation"]
PLAIN = Q(codename__startswith="add_") | Q(codename__startswith="change_") | Q(codename__startswith="delete_")
VIEW = Q(codename__startswith="view_")


def make_groups() -> None:
    """Viewer sees all; Operator also has the verbs; Admin also edits configuration and users."""
    ours = Permission.objects.filter(content_type__app_label__in=OURS)
    users = Permission.objects.filter(content_type__app_label="auth", content_type__model__in=["user", "group"])
    audit = Permission.objects.filter(content_type__app_label="pghistory", codename="view_context")
    members = {
        "Viewer": ours.filter(VIEW) | audit,
        "Operator": ours.exclude(PLAIN) | audit,
        "Admin": ours | audit | users,
    }
    for name, permissions in members.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set(permissions)
