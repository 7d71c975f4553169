"""The admin's pages of this app; importing them registers them."""

from providers.admin import fleet, gamelogs, lines

__all__ = ["fleet", "gamelogs", "lines"]
