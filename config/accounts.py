"""Users and groups in the admin's look; Celery beat's tables are the code's own and stay out of sight."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django_celery_beat import models as beat

from config.console import AdminPasswordChangeForm, SlipwayAdmin, UserChangeForm, UserCreationForm

HIDDEN = (beat.PeriodicTask, beat.IntervalSchedule, beat.CrontabSchedule, beat.SolarSchedule, beat.ClockedSchedule)


class Users(SlipwayAdmin, UserAdmin):  # type: ignore[type-arg]
    intro = "Who may sign in. Put people into a group: Viewer, Operator or Admin."
    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Only a superuser makes superusers, or gives single permissions."""
        own = ["is_superuser", "user_permissions"]
        return [*super().get_readonly_fields(request, obj), *([] if request.user.is_superuser else own)]


class Groups(SlipwayAdmin, GroupAdmin):
    intro = "Viewer sees all, Operator also acts, Admin also edits. These three are reset by each upgrade."


def register() -> None:
    """In the place of what the libraries registered."""
    for model in (User, Group, *HIDDEN):
        if admin.site.is_registered(model):
            admin.site.unregister(model)
    admin.site.register(User, Users)
    admin.site.register(Group, Groups)
