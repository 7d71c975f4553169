"""gunicorn's settings. Requests run in threads, because a request mostly waits for the database."""

from django.conf import settings

from config.startup import start

start()  # here, in the master, so that a wrong setting or app ends the master instead of each worker in turn
host = f"[{settings.WEB_HOST}]" if ":" in settings.WEB_HOST else settings.WEB_HOST
bind = f"{host}:{settings.WEB_PORT}"
preload_app = True  # the workers share what the master has loaded
worker_class = "gthread"
workers = settings.WEB_WORKERS
threads = settings.WEB_THREADS
timeout = 60
graceful_timeout = 5
control_socket_disable = True
