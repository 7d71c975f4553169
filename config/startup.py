"""What every process does first: use the embedded servers, then load the settings, with one line where that fails."""

import os
import sys

from config.embedded import lifecycle
from config.embedded.location import EmbeddedError


def start() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from config.environment import load_env_file

    try:
        load_env_file()
        lifecycle.ensure()
        settings.DEBUG  # noqa: B018 - loads them
    except (EmbeddedError, ImproperlyConfigured) as error:
        sys.exit(f"slipway: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
