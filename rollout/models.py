"""Tables of the rollout app."""

from typing import Self

from django.db import models

from rollout.audit import tracked
from rollout.choices import Part


class ActivationQuerySet(models.QuerySet["Activation"]):
    def switched_off(self) -> Self:
        return self.filter(is_on=False)

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
        constraints = [
            models.CheckConstraint(condition=models.Q(part__in=Part.values), name="activation_part_known"),
        ]

    def __str__(self) -> str:
        return f"{self.get_part_display()}: {'on' if self.is_on else 'off'}"
