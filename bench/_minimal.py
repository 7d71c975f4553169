"""The smallest Django there is, for gunicorn: the peer of bench/console.py."""

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
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],  # an answer's length, without which no connection is kept
)
application = get_wsgi_application()
