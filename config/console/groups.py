"""The three groups that Slipway defines. Each bootstrap resets them; other groups are left unchanged."""

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

BUILT_IN_APPS = ["rollout", "providers", "caching", "validation"]
EDITING = Q(codename__startswith="add_") | Q(codename__startswith="change_") | Q(codename__startswith="delete_")
VIEW = Q(codename__startswith="view_")


def make_groups() -> None:
    """Make the groups: Viewer sees everything, Operator also uses verbs, Admin also edits configuration and users."""
    slipway = Permission.objects.filter(content_type__app_label__in=BUILT_IN_APPS)
    users = Permission.objects.filter(content_type__app_label="auth", content_type__model__in=["user", "group"])
    audit = Permission.objects.filter(content_type__app_label="pghistory", codename="view_context")
    permissions_by_group = {
        "Viewer": slipway.filter(VIEW) | audit,
        "Operator": slipway.exclude(EDITING) | audit,
        "Admin": slipway | audit | users,
    }
    for name, permissions in permissions_by_group.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set(permissions)
