"""The web application, for gunicorn: `gunicorn config.wsgi`."""

from django.core.wsgi import get_wsgi_application

from config.startup import start

start()
application = get_wsgi_application()

import config.celery  # noqa: E402, F401 - so that tasks that a request sends find their broker
