"""Users and groups in the console's look. The tables of Celery beat belong to the code and are hidden."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django_celery_beat import models as beat

from core.console.admin import AdminPasswordChangeForm, SlipwayAdmin, UserChangeForm, UserCreationForm
from core.console.badges import ago, on_off

HIDDEN = (beat.PeriodicTask, beat.IntervalSchedule, beat.CrontabSchedule, beat.SolarSchedule, beat.ClockedSchedule)


def _may_edit(request: HttpRequest, user: User | None) -> bool:
    """Return whether the requester may edit the user: only a superuser edits superusers."""
    return request.user.is_superuser or user is None or not user.is_superuser


class Users(SlipwayAdmin, UserAdmin):  # type: ignore[type-arg]
    intro = "The users who may sign in. Add each user to a group: Viewer, Operator or Admin."
    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    list_display = ["username", "email", "group_names", "active", "signed_in"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Return the fields that the requester cannot edit: only a superuser grants single permissions."""
        fields = list(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else [*fields, "is_superuser", "user_permissions"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the requester may change the user. It covers the change of the password too."""
        return super().has_change_permission(request, obj) and _may_edit(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_edit(request, obj)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[User]":
        users: QuerySet[User] = super().get_queryset(request)
        return users.prefetch_related("groups")

    @admin.display(description="Groups")
    def group_names(self, user: User) -> str:
        if user.is_superuser:
            return "superuser"
        return ", ".join(group.name for group in user.groups.all()) or "none"

    @admin.display(description="May sign in", ordering="is_active")
    def active(self, user: User) -> SafeString:
        return on_off(user.is_active and user.is_staff, "yes", "no")

    @admin.display(description="Last signed in", ordering="last_login")
    def signed_in(self, user: User) -> SafeString | str:
        return ago(user.last_login)


class Groups(SlipwayAdmin, GroupAdmin):
    intro = "Viewer sees everything, Operator also acts, Admin also edits. Each upgrade resets these three groups."

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Return the fields that the requester cannot edit.

        Only a superuser sets the permissions of a group; otherwise a user who edits groups could grant itself all.
        """
        fields = list(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else [*fields, "permissions"]


def register_accounts() -> None:
    """Replace the pages that Django and django-celery-beat registered."""
    for model in (User, Group, *HIDDEN):
        if admin.site.is_registered(model):
            admin.site.unregister(model)
    admin.site.register(User, Users)
    admin.site.register(Group, Groups)
