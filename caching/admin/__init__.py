"""The admin's pages of this app; importing them registers them."""

from caching.admin import pages

__all__ = ["pages"]
