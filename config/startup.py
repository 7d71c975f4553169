"""The start of every process: use the embedded servers, then load the settings, with one line if that fails."""

import gc
import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config.embedded import lifecycle
from config.embedded.location import EmbeddedError
from config.environment.env_file import load_env_file


def start() -> None:
    """Start the embedded servers if they are needed, and load the settings. End the process if that fails."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    gc.set_threshold(50_000, 20, 50)  # with Python's own 700, collections take a sixth of the start's time
    try:
        load_env_file()
        lifecycle.ensure()
        settings.DEBUG  # noqa: B018 - reading any setting loads all of them
    except (EmbeddedError, ImproperlyConfigured) as error:
        sys.exit(f"slipway: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
