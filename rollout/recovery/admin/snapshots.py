"""Recovery in the admin."""

from django.contrib import admin
from django.utils.safestring import SafeString

from config.keyset import KeysetAdmin
from config.marks import ago, on_off
from rollout.recovery.models import Snapshot


@admin.register(Snapshot)
class SnapshotAdmin(KeysetAdmin):
    intro = (
        "All protected tables as they were at one moment, on disk: one every night, and whenever somebody makes one."
    )
    when_empty = "Make one: python manage.py snapshot create"
    list_display = ["name", "made", "whole", "verified", "size", "rows_held", "host", "made_by", "reason"]
    list_filter = ["host"]
    fields = ["name", "host", "folder", "reason", "made_by", "tables", "rows", "size_bytes", "seconds"]
    fields += ["created_at", "verified_at", "problem"]

    @admin.display(description="Made")
    def made(self, snapshot: Snapshot) -> SafeString | str:
        return ago(snapshot.created_at)

    @admin.display(description="Whole")
    def whole(self, snapshot: Snapshot) -> SafeString | str:
        if snapshot.verified_at is None and not snapshot.problem:
            return "not read back yet"
        return on_off(not snapshot.problem, "whole", "damaged")

    @admin.display(description="Read back")
    def verified(self, snapshot: Snapshot) -> SafeString | str:
        return ago(snapshot.verified_at, "not yet")

    @admin.display(description="Size")
    def size(self, snapshot: Snapshot) -> str:
        return f"{snapshot.size_bytes / 1e6:,.1f} MB"

    @admin.display(description="Rows")
    def rows_held(self, snapshot: Snapshot) -> str:
        return f"{snapshot.rows:,}"
