"""gunicorn's settings. Requests run in threads, because a request mostly waits for the database."""

import os

from config.startup import start

start()  # here, in the master, so that a wrong setting ends the master instead of each worker in turn
bind = f"127.0.0.1:{os.environ.get('WEB_PORT', '8000')}"
worker_class = "gthread"
workers = 2
threads = 8
timeout = 60
graceful_timeout = 5
control_socket_disable = True
