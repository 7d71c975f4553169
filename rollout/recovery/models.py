"""Tables of recovery."""

from django.db import models
from django.db.models.functions import Now


class Snapshot(models.Model):
    """A recovery snapshot on disk. Its manifest is the truth; this row tells where it is, and if it was read back."""

    name = models.SlugField(max_length=40, unique=True)
    host = models.CharField(max_length=253, help_text="that holds it")
    folder = models.CharField(max_length=500)
    reason = models.TextField(blank=True, default="")
    made_by = models.CharField(max_length=150)
    tables = models.PositiveIntegerField()
    rows = models.PositiveBigIntegerField()
    size_bytes = models.PositiveBigIntegerField()
    seconds = models.FloatField()
    verified_at = models.DateTimeField(null=True, help_text="read back whole, and found as it was made")
    problem = models.TextField(blank=True, default="", help_text="what reading it back found")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        app_label = "rollout"
        ordering = ["-created_at"]
        permissions = [
            ("create_snapshot", "Can create snapshots"),
            ("verify_snapshot", "Can verify snapshots"),
            ("prune_snapshot", "Can prune snapshots"),
        ]

    def __str__(self) -> str:
        return self.name
