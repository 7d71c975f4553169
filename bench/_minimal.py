"""The smallest possible Django application, served by gunicorn: the peer of bench/console.py."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path


def view(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"value": 1})


urlpatterns = [path("", view)]
settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],  # sets Content-Length, which keeps connections open
)
application = get_wsgi_application()
