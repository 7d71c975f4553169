"""The web application, for gunicorn: `gunicorn config.wsgi`."""

from django.core.wsgi import get_wsgi_application

from config.middleware.chunked_body import ReadChunkedBodies
from config.startup import start, trace

start(is_service=True)
trace("web")
application = ReadChunkedBodies(get_wsgi_application())

import config.celery  # noqa: E402, F401 - tasks that a request sends find their broker through it; it needs the settings
