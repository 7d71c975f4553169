from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from config import console, probes
from config.api import api

console.register_accounts()
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    path("healthz", probes.healthz),
    path("readyz", probes.readyz),
    path("metrics", probes.metrics),
]
