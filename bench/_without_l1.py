"""Slipway without its first tier, served by gunicorn: bench/console.py measures the second tier with it."""

from importlib import import_module

from config.wsgi import application

# After the import above, which sets up Django. Without capacity, every value is too large to be kept.
import_module("caching.tiers.entries").ENTRIES.memory.capacity_bytes = 0
__all__ = ["application"]
