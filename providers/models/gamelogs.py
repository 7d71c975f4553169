"""The tables of box scores, one row per player and game, and of the uploads that bring them."""

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now, Upper

from providers.choices import ImportState
from providers.models.fleet import Sport


class GameLog(models.Model):
    source = models.CharField(max_length=16, help_text="the word stub, or the format it was imported from")
    sport = models.ForeignKey(Sport, models.PROTECT, db_column="sport")
    player_id = models.CharField(max_length=64, help_text="the id in the source, or the name if the source has no id")
    player = models.CharField(max_length=100)
    team = models.CharField(max_length=100, blank=True, default="")
    position = models.CharField(max_length=16, blank=True, default="")
    game = models.CharField(max_length=64)
    played_on = models.DateField()
    game_number = models.PositiveSmallIntegerField(default=0, help_text="number of the game in a double-header, else 0")
    stats = models.JSONField(help_text="maps each statistic to its count")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "sport", "game", "player_id"], name="game_log_unique"),
        ]
        indexes = [
            models.Index(fields=["sport", "player", "-played_on"], name="game_log_player"),
            models.Index(fields=["-played_on", "-id"], name="game_log_newest"),
            models.Index(OpClass(Upper("player"), name="text_pattern_ops"), name="game_log_search"),
        ]

    def __str__(self) -> str:
        return f"{self.player} on {self.played_on}"


class GameLogUpload(models.Model):
    """A file that was uploaded in the admin. Its bytes are deleted after the import; the row is kept for 90 days."""

    KEEP_DAYS = 90

    sport = models.ForeignKey(Sport, models.PROTECT, db_column="sport")
    name = models.CharField(max_length=200, help_text="the name of the file")
    size_bytes = models.PositiveBigIntegerField()
    mapping = models.JSONField(default=dict, blank=True, help_text="maps a column to a statistic if their names differ")
    skip_bad = models.BooleanField(default=False)
    state = models.CharField(max_length=8, choices=ImportState, default=ImportState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="how often a worker began the import")
    outcome = models.JSONField(default=dict, blank=True)
    problem = models.TextField(blank=True, default="")
    uploaded_by = models.CharField(max_length=150)
    uploaded_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "game log upload"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=ImportState.values), name="upload_state_known"),
        ]
        permissions = [("import_gamelog", "Can import game logs")]

    def __str__(self) -> str:
        return self.name


class UploadedPart(models.Model):
    """A part of an uploaded file, so that neither the web process nor the worker holds all of it in memory."""

    class Kind(models.TextChoices):
        LOGS = "logs", "Game logs"
        SCHEDULE = "schedule", "Schedule"

    upload = models.ForeignKey(GameLogUpload, models.CASCADE, related_name="parts")
    kind = models.CharField(max_length=8, choices=Kind)
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["upload", "kind", "number"], name="uploaded_part_unique")]
