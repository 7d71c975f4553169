from django.contrib import admin
from django.shortcuts import redirect
from django.urls import path, re_path
from django.views.generic import RedirectView

from config import probes
from config.api import api
from config.console import accounts, edits, home, theme
from rollout import ofrep

admin.site.index_title = "Overview"
accounts.register()
edits.register()
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/live/", admin.site.admin_view(home.live), name="home_live"),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    path("ofrep/v1/evaluate/flags", ofrep.bulk),
    re_path(r"^ofrep/v1/evaluate/flags/(?P<key>[\s\S]+)$", ofrep.one),
    path("favicon.ico", lambda request: redirect(theme.favicon(request))),
    path("healthz", probes.healthz),
    path("readyz", probes.readyz),
    path("metrics", probes.metrics),
]
