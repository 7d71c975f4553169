"""Users and groups in the admin's look; Celery beat's tables are the code's own and stay out of sight."""

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


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    return request.user.is_superuser or user is None or not user.is_superuser


class Users(SlipwayAdmin, UserAdmin):  # type: ignore[type-arg]
    intro = "Who may sign in. Put people into a group: Viewer, Operator or Admin."
    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    list_display = ["username", "email", "may", "active", "signed_in"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Only a superuser makes superusers, or gives single permissions."""
        own = ["is_superuser", "user_permissions"]
        return [*super().get_readonly_fields(request, obj), *([] if request.user.is_superuser else own)]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody else changes one, its password included."""
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[User]":
        found: QuerySet[User] = super().get_queryset(request)
        return found.prefetch_related("groups")

    @admin.display(description="Groups")
    def may(self, user: User) -> str:
        return "superuser" if user.is_superuser else ", ".join(group.name for group in user.groups.all()) or "none"

    @admin.display(description="May sign in", ordering="is_active")
    def active(self, user: User) -> SafeString:
        return on_off(user.is_active and user.is_staff, "yes", "no")

    @admin.display(description="Last signed in", ordering="last_login")
    def signed_in(self, user: User) -> SafeString | str:
        return ago(user.last_login)


class Groups(SlipwayAdmin, GroupAdmin):
    intro = "Viewer sees all, Operator also acts, Admin also edits. These three are reset by each upgrade."

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """What a group may do a superuser alone says: else whoever edits groups could do anything."""
        own = [] if request.user.is_superuser else ["permissions"]
        return [*super().get_readonly_fields(request, obj), *own]


def register() -> None:
    """In the place of what the libraries registered."""
    for model in (User, Group, *HIDDEN):
        if admin.site.is_registered(model):
            admin.site.unregister(model)
    admin.site.register(User, Users)
    admin.site.register(Group, Groups)
