"""The site as a whole: settings, URLs, Celery, the home page, embedded servers and the start of each process."""

VERSION = "0.2.0"  # as in pyproject.toml
