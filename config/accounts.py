"""Users and groups in the admin's look."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from config.console import AdminPasswordChangeForm, SlipwayAdmin, UserChangeForm, UserCreationForm


def register() -> None:
    """Users and groups in the theme's look; Celery beat's tables are the code's own and stay out of sight."""
    from django.contrib.auth.admin import GroupAdmin, UserAdmin
    from django.contrib.auth.models import Group, User
    from django_celery_beat import models as beat

    class Users(SlipwayAdmin, UserAdmin):  # type: ignore[type-arg]
        intro = "Who may sign in. Put people into a group: Viewer, Operator or Admin."
        form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm

        def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
            """Only a superuser makes superusers, or gives single permissions."""
            own = ["is_superuser", "user_permissions"]
            return [*super().get_readonly_fields(request, obj), *([] if request.user.is_superuser else own)]

    class Groups(SlipwayAdmin, GroupAdmin):
        intro = "Viewer sees all, Operator also acts, Admin also edits. These three are reset by each upgrade."

    for model in (User, Group):
        admin.site.unregister(model)
    admin.site.register(User, Users)
    admin.site.register(Group, Groups)
    tables = (beat.PeriodicTask, beat.IntervalSchedule, beat.CrontabSchedule, beat.SolarSchedule, beat.ClockedSchedule)
    for table in tables:
        if admin.site.is_registered(table):
            admin.site.unregister(table)
