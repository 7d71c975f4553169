"""The web application, for gunicorn: `gunicorn config.wsgi`."""

from django.core.wsgi import get_wsgi_application

from config.entry import start

start()
application = get_wsgi_application()
