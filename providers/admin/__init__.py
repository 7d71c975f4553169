"""The admin's pages of this app. Importing the modules registers the pages."""

from providers.admin import fleet, gamelogs, lines

__all__ = ["fleet", "gamelogs", "lines"]
