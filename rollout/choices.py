"""Choices of the rollout app."""

from django.db import models


class Part(models.TextChoices):
    """What an operator can switch off as a whole."""

    POLLING = "polling", "Polling"
    WARMING = "warming", "Warming"
    SERVING = "serving", "Serving"
    ADVANCING = "advancing", "Advancing"
