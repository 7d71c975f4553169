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
from providers.gamelogs.box_score import RowProblem
from providers.gamelogs.columns import valid_mapping
from providers.gamelogs.operations import PERMISSION
from providers.gamelogs.upload_progress import read_progress
from providers.models import GameLog, GameLogUpload, Sport

COUNTS_SHOWN = 5  # statistics of a box score in the list


@admin.register(GameLog)
class GameLogAdmin(ReadOnlyAdmin):
    intro = "Box scores: one row per player and game. Each value computed from them names its source."
    when_empty = "Upload a file, or:"
    command = "python manage.py import_game_logs --from-stub --sport NBA"
    list_display = ["player", "position", "team", "sport", "played_on", "counts", "source"]
    list_filter = ["sport", "source", "position"]
    search_fields = ["player__istartswith"]
    search_help_text = "beginning of a player's name"
    ordering = ["-played_on", "-pk"]

    @admin.display(description="Counts")
    def counts(self, log: GameLog) -> str:
        counts = [f"{count:g} {statistic.replace('_', ' ')}" for statistic, count in log.stats.items() if count]
        return ", ".join(counts[:COUNTS_SHOWN]) or "none"


class UploadForm(forms.ModelForm):  # type: ignore[type-arg]
    """The form of an upload: a file of box scores, and the options for reading it."""

    file = FileField(help_text="CSV in UTF-8, one line per player and game; or nflverse's player statistics")
    schedule = FileField(required=False, help_text="nflverse's games.csv; only for nflverse's player statistics")
    sport = RowField(Sport.objects.order_by("code"))
    mapping = JsonField(
        required=False,
        initial=dict,
        help_text='column to statistic or field, for columns with other names: {"PTS": "points", "Who": "player"}',
    )
    skip_bad = SwitchField(required=False, label="Skip bad rows (otherwise one bad row keeps the whole file out)")

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
    intro = "Files of box scores. A worker imports them one after the other, each file completely or not at all."
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

    def row_context(self, request: HttpRequest, row: GameLogUpload) -> dict[str, Any]:
        return {"is_moving": row.state == ImportState.WAITING}

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        return {"is_moving": GameLogUpload.objects.filter(state=ImportState.WAITING).exists()}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fieldsets if obj else self.add_fieldsets

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **kwargs) if obj else UploadForm

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> GameLogUpload:
        fields = form.cleaned_data
        schedule = fields["schedule"]
        return uploads.upload(
            fields["file"].name,
            fields["file"].chunks(),
            fields["sport"].pk,
            actor=request.user,
            schedule=schedule.chunks() if schedule else (),
            mapping=fields["mapping"],
            skip_bad=fields["skip_bad"],
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Do nothing: `save_form` has called the operation, which stored the upload."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Do nothing: an upload has no related forms."""

    @admin.display(description="State", ordering="state")
    def state_now(self, upload: GameLogUpload) -> SafeString:
        return badge(ImportState(upload.state))

    @admin.display(description="Result")
    def how_far(self, upload: GameLogUpload) -> SafeString | str:
        if upload.state != ImportState.WAITING:
            counts = "{created} new, {updated} changed, {unchanged} unchanged, {bad_count} skipped"
            return upload.problem or counts.format(**upload.outcome)
        progress = read_progress(upload)
        if progress is None:
            return "waiting for a worker, at most a minute"
        bar = '<progress class="sw-progress" max="1" value="{}"></progress> {} rows'
        return format_html(bar, progress.share, f"{progress.rows:,}")

    @admin.display(description="Bad rows")
    def bad_rows(self, upload: GameLogUpload) -> str:
        problems = [RowProblem(**problem) for problem in upload.outcome.get("bad", [])]
        return "\n".join(map(str, problems)) or "none"

    @admin.display(description="Uploaded", ordering="uploaded_at")
    def uploaded(self, upload: GameLogUpload) -> SafeString | str:
        return ago(upload.uploaded_at)
