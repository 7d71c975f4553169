"""The parts of Slipway that an operator can switch off as a whole."""

from typing import Self

from django.db import connection, models

from core.access.audit import tracked
from core.db import sql


class Part(models.TextChoices):
    """The parts that can be switched off."""

    POLLING = "polling", "Polling"
    WARMING = "warming", "Warming"
    SERVING = "serving", "Serving"
    ADVANCING = "advancing", "Advancing"


class ActivationQuerySet(models.QuerySet["Activation"]):
    def switched_off(self) -> Self:
        """Return the parts that are off."""
        return self.filter(is_on=False)

    def holds(self, part: Part) -> bool:
        """Return whether the part may work, and keep it so for the rest of this transaction.

        An operator who switches the part off waits until the transaction ends.
        """
        with connection.cursor() as cursor:
            cursor.execute(sql.HOLD_PART, [part.value])
            row = cursor.fetchone()
        return bool(row and row[0])

    def allows(self, part: Part) -> bool:
        """Return whether the part may work. A part without a row is off."""
        return self.filter(part=part, is_on=True).exists()


@tracked()
class Activation(models.Model):
    """Whether a part is on, since when, by which actor and for which reason."""

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
