"""Game logs and their uploads in the admin."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.console.admin import ReadOnlyAdmin
from core.console.badges import ago, badge
from core.console.fields import FileField, JsonField, RowField, SwitchField
from core.errors import WrongInput
from providers.choices import ImportState
from providers.gamelogs import uploads
from providers.gamelogs.columns import valid_mapping
from providers.gamelogs.operations import PERMISSION
from providers.models import GameLog, GameLogUpload, Sport


@admin.register(GameLog)
class GameLogAdmin(ReadOnlyAdmin):
    intro = "Box scores: one row per player and game. What is computed from them says which source it used."
    when_empty = "Upload a file, or:"
    command = "python manage.py import_game_logs --from-stub --sport NBA"
    list_display = ["player", "position", "team", "sport", "played_on", "counts", "source"]
    list_filter = ["sport", "source", "position"]
    search_fields = ["player__istartswith"]
    search_help_text = "beginning of a player's name"
    ordering = ["-played_on", "-pk"]

    @admin.display(description="Counts")
    def counts(self, log: GameLog) -> str:
        shown = [f"{value:g} {name.replace('_', ' ')}" for name, value in log.stats.items() if value]
        return ", ".join(shown[:5]) or "nothing"


class UploadForm(forms.ModelForm):  # type: ignore[type-arg]
    file = FileField(help_text="CSV in UTF-8, one line per player and game; or nflverse's player statistics")
    schedule = FileField(required=False, help_text="nflverse's games.csv; only for nflverse's player statistics")
    sport = RowField(Sport.objects.order_by("code"))
    mapping = JsonField(
        required=False,
        initial=dict,
        help_text='where columns have other names, as {"PTS": "points", "Who": "player"}',
    )
    skip_bad = SwitchField(required=False, label="Leave bad rows out instead of storing nothing")

    class Meta:
        model = GameLogUpload
        fields = ["sport", "mapping", "skip_bad"]

    def clean_mapping(self) -> dict[str, str]:
        try:
            return valid_mapping(self.cleaned_data["mapping"] or {})
        except WrongInput as error:
            raise forms.ValidationError(str(error)) from error


@admin.register(GameLogUpload)
class GameLogUploadAdmin(ReadOnlyAdmin):
    intro = "Files of box scores: a worker imports them one after the other, all of a file or nothing."
    when_empty = "Add a CSV file with the button above."
    list_display = ["name", "sport", "state_now", "how_far", "uploaded", "uploaded_by"]
    list_filter = ["state", "sport"]
    ordering = ["-pk"]
    list_before_template = "console/moving.html"
    change_form_outer_before_template = "console/moving.html"
    add_fieldsets = [(None, {"fields": ["file", "schedule", "sport", "mapping", "skip_bad"]})]
    fieldsets = [(None, {"fields": ["name", "sport", "state_now", "how_far", "bad_rows", "uploaded", "uploaded_by"]})]
    readonly_fields = ["state_now", "how_far", "bad_rows", "uploaded"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(PERMISSION)

    def of_row(self, request: HttpRequest, row: GameLogUpload) -> dict[str, Any]:
        return {"is_moving": row.state == ImportState.WAITING}

    def of_list(self, request: HttpRequest) -> dict[str, Any]:
        return {"is_moving": GameLogUpload.objects.filter(state=ImportState.WAITING).exists()}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fieldsets if obj else self.add_fieldsets

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **kwargs) if obj else UploadForm

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> GameLogUpload:
        given = form.cleaned_data
        schedule = given["schedule"]
        return uploads.upload(
            given["file"].name,
            given["file"].chunks(),
            given["sport"].pk,
            actor=request.user,
            schedule=schedule.chunks() if schedule else (),
            mapping=given["mapping"],
            skip_bad=given["skip_bad"],
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The operation has stored it."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """And all that belongs to it."""

    @admin.display(description="State", ordering="state")
    def state_now(self, found: GameLogUpload) -> SafeString:
        return badge(ImportState(found.state))

    @admin.display(description="Result")
    def how_far(self, found: GameLogUpload) -> SafeString | str:
        if found.state != ImportState.WAITING:
            counts = "{created} new, {updated} changed, {unchanged} as they were, {bad_count} left out"
            return found.problem or counts.format(**found.outcome)
        progress = uploads.progress(found)
        if progress is None:
            return "a worker takes it within a minute"
        bar = '<progress class="sw-progress" max="1" value="{}"></progress> {} rows'
        return format_html(bar, progress.share, f"{progress.rows:,}")

    @admin.display(description="Bad rows")
    def bad_rows(self, found: GameLogUpload) -> str:
        bad = found.outcome.get("bad", [])
        return "\n".join(f"line {row['line']}, column {row['column']}: {row['reason']}" for row in bad) or "none"

    @admin.display(description="Uploaded", ordering="uploaded_at")
    def uploaded(self, found: GameLogUpload) -> SafeString | str:
        return ago(found.uploaded_at)
