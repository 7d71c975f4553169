"""The parts of Slipway that an operator can switch off as a whole."""

from typing import Self

from django.db import connection, models

from core.access.audit import tracked
from core.db import sql


class Part(models.TextChoices):
    """What an operator can switch off as a whole."""

    POLLING = "polling", "Polling"
    WARMING = "warming", "Warming"
    SERVING = "serving", "Serving"
    ADVANCING = "advancing", "Advancing"


class ActivationQuerySet(models.QuerySet["Activation"]):
    def switched_off(self) -> Self:
        return self.filter(is_on=False)

    def holds(self, part: Part) -> bool:
        """Whether the part may work, for the rest of this transaction: whoever switches it off waits."""
        with connection.cursor() as cursor:
            cursor.execute(sql.HOLD_PART, [part.value])
            found = cursor.fetchone()
        return bool(found and found[0])

    def allows(self, part: Part) -> bool:
        """Whether the part may work; a missing row is off, since nothing says that it is on."""
        return self.filter(part=part, is_on=True).exists()


@tracked()
class Activation(models.Model):
    part = models.CharField(max_length=16, primary_key=True, choices=Part)
    is_on = models.BooleanField(default=True)
    since = models.DateTimeField(auto_now_add=True)
    by = models.CharField(max_length=150, default="system")
    reason = models.TextField(blank=True, default="")

    objects = ActivationQuerySet.as_manager()

    class Meta:
        app_label = "rollout"
        constraints = [
            models.CheckConstraint(condition=models.Q(part__in=Part.values), name="activation_part_known"),
        ]
        permissions = [("reactivate_activation", "Can switch parts on again")]

    def __str__(self) -> str:
        return f"{self.get_part_display()}: {'on' if self.is_on else 'off'}"
