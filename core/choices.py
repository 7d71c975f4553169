"""The base of choices that the console shows with a symbol and a color."""

from typing import Self

from django.db import models


class StyledChoices(models.TextChoices):
    """Text choices whose members are written as `NAME = value, symbol, color, label`.

    The symbol repeats what the color shows, because not every reader can distinguish colors.
    """

    symbol: str
    color: str

    def __new__(cls, value: str, symbol: str = "", color: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_, member.symbol, member.color = value, symbol, color
        return member
