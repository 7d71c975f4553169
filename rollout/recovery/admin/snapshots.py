"""The admin of snapshots: those that exist, and a page that asks a worker for another one."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, reverse
from django.utils.safestring import SafeString

from core.console.badges import ago, on_off
from core.console.confirm import verb_page
from core.console.keyset import KeysetAdmin
from rollout.models import Snapshot
from rollout.recovery.snapshots import operations

PERMISSION = "rollout.create_snapshot"


@admin.register(Snapshot)
class SnapshotAdmin(KeysetAdmin):
    intro = "All protected tables as they were at one moment, on disk. One is made every night, and others on request."
    when_empty = "Make one:"
    command = "python manage.py snapshot create"
    list_before_template = "console/snapshots.html"
    list_display = ["name", "made", "whole", "verified", "size", "rows_held", "host", "made_by", "reason"]
    list_filter = ["host"]
    fields = ["name", "host", "folder", "reason", "made_by", "tables", "rows", "size_bytes", "seconds"]
    fields += ["created_at", "verified_at", "problem"]

    def get_urls(self) -> list[URLPattern]:
        return [self.page("create/", self.create, "rollout_snapshot_create"), *super().get_urls()]

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        return {"create": reverse("admin:rollout_snapshot_create") if request.user.has_perm(PERMISSION) else ""}

    def create(self, request: HttpRequest) -> HttpResponse:
        return verb_page(
            self,
            request,
            label="Make a snapshot",
            subject="all protected tables",
            permission=PERMISSION,
            plan=[
                "A worker writes every protected table, as it is at one moment, to disk. Clients continue to work.",
                "The snapshot appears in this list when it is whole. The nightly snapshot is made in any case.",
            ],
            operation=lambda filled: operations.request_snapshot(actor=request.user, reason=filled["reason"]),
            return_url=reverse("admin:rollout_snapshot_changelist"),
        )

    @admin.display(description="Made")
    def made(self, snapshot: Snapshot) -> SafeString | str:
        return ago(snapshot.created_at)

    @admin.display(description="Whole")
    def whole(self, snapshot: Snapshot) -> SafeString | str:
        is_known = snapshot.verified_at is not None or bool(snapshot.problem)
        return on_off(not snapshot.problem, snapshot.state, snapshot.state) if is_known else snapshot.state

    @admin.display(description="Read back")
    def verified(self, snapshot: Snapshot) -> SafeString | str:
        return ago(snapshot.verified_at, "not yet")

    @admin.display(description="Size")
    def size(self, snapshot: Snapshot) -> str:
        return f"{snapshot.size_bytes / 1e6:,.1f} MB"

    @admin.display(description="Rows")
    def rows_held(self, snapshot: Snapshot) -> str:
        return f"{snapshot.rows:,}"
