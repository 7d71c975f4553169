"""gunicorn's settings. Requests run in threads, because a request mostly waits for the database."""

from django.conf import settings

from config.logs import logging_dict
from config.startup import start

start(is_service=True)  # here, in the master, so that a wrong setting or app ends the master instead of each worker in turn
host = f"[{settings.WEB_HOST}]" if ":" in settings.WEB_HOST else settings.WEB_HOST
bind = f"{host}:{settings.WEB_PORT}"
worker_class = "gthread"
workers = settings.WEB_WORKERS
threads = settings.WEB_THREADS
timeout = 60
graceful_timeout = 5
control_socket_disable = True
logconfig_dict = logging_dict()
