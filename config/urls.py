"""The addresses that the site serves."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, re_path
from django.views.generic import RedirectView

from config import probes
from config.api import api
from config.console import accounts, edits, home, theme
from rollout import ofrep


def favicon(request: HttpRequest) -> HttpResponse:
    """Redirect to the icon's hashed address, for browsers that ask for it without a page."""
    return redirect(theme.favicon(request))


admin.site.index_title = "Overview"
accounts.register_accounts()
edits.register_edits()
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/live/", admin.site.admin_view(home.live), name="home_live"),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    path("ofrep/v1/evaluate/flags", ofrep.evaluate_flags),
    re_path(r"^ofrep/v1/evaluate/flags/(?P<key>[\s\S]+)$", ofrep.evaluate_flag),
    path("favicon.ico", favicon),
    path("healthz", probes.healthz),
    path("readyz", probes.readyz),
    path("metrics", probes.prometheus),
]
