"""gunicorn's settings. Requests run in threads, because a request mostly waits for the database."""

import os

from django.conf import settings

from config.logs import logging_dict
from config.startup import start

# The master loads the settings and apps: a wrong one ends it, not each worker in turn, and the workers share them.
start(is_service=True)
host = f"[{settings.WEB_HOST}]" if ":" in settings.WEB_HOST else settings.WEB_HOST
socket = os.environ.get("SLIPWAY_SITE_SOCKET")  # `make run` listens already, so that no other process takes the port
bind = f"fd://{socket}" if socket else f"{host}:{settings.WEB_PORT}"
worker_class = "gthread"
workers = settings.WEB_WORKERS
threads = settings.WEB_THREADS
timeout = 60
graceful_timeout = 5
control_socket_disable = True
logconfig_dict = logging_dict()
