"""Slipway without its first tier, for gunicorn: what bench/console.py measures the second one by."""

from importlib import import_module

from config.wsgi import application

# Only now, since Django is set up by that; whatever is put in is too large.
import_module("caching.entries").ENTRIES.memory._capacity = 0
__all__ = ["application"]
