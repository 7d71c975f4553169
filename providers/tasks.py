"""Celery tasks of the providers app."""
