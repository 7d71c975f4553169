"""The tables of the upstreams' answers: games and the lines offered on them."""

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now, Upper

from providers.models.fleet import ProviderState, Sport


class Event(models.Model):
    source = models.CharField(max_length=16, help_text="the word stub, or the adapter it came through")
    external_id = models.CharField(max_length=64)
    sport = models.ForeignKey(Sport, models.PROTECT, db_column="sport")
    home_team = models.CharField(max_length=100, help_text="both teams, if the home team is unknown")
    away_team = models.CharField(max_length=100)
    starts_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "external_id"], name="event_unique")]

    def __str__(self) -> str:
        return " at ".join(filter(None, (self.away_team, self.home_team)))


class PropLine(models.Model):
    """A line: one side of one market. Unless it is removed, its state's last good fetch contained it."""

    state = models.ForeignKey(ProviderState, models.CASCADE, related_name="lines")
    event = models.ForeignKey(
        Event,
        models.CASCADE,
        related_name="lines",
        null=True,
        help_text="empty for a line of no single game",
    )
    bookmaker = models.CharField(max_length=50)
    market = models.CharField(max_length=64)
    player = models.CharField(max_length=100, blank=True, default="", help_text="empty for a game's own markets")
    side = models.CharField(max_length=100, blank=True, default="", help_text="Over, Under or a team; may be empty")
    point = models.FloatField(null=True, blank=True)
    price = models.FloatField(null=True, help_text="as the upstream sends it, American by default; may be empty")
    first_seen = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now(), db_index=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "line"
        constraints = [
            models.UniqueConstraint(
                fields=["state", "event", "bookmaker", "market", "player", "point", "side"],
                name="prop_line_unique",
                nulls_distinct=False,
            ),
        ]
        indexes = [
            models.Index(fields=["state", "id"], condition=Q(removed_at__isnull=True), name="prop_line_offered"),
            models.Index(OpClass(Upper("player"), name="text_pattern_ops"), name="prop_line_search"),
        ]

    def __str__(self) -> str:
        return f"{self.bookmaker} {self.market} {self.player or self.side}"


class PriceMove(models.Model):
    """A change of a line's price. Each row also holds the price before it. Kept for 90 days."""

    KEEP_DAYS = 90

    line = models.ForeignKey(PropLine, models.CASCADE, related_name="moves")
    was = models.FloatField(null=True)
    price = models.FloatField(null=True)
    moved_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        indexes = [models.Index(fields=["line", "moved_at"], name="price_move_line")]

    def __str__(self) -> str:
        return f"{self.was} to {self.price}"
