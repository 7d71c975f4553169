"""The configuration of the admin's theme, for the settings."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


def stylesheet(request: Any) -> str:
    return static("slipway/slipway.css")


def keyboard(request: Any) -> str:
    return static("slipway/keyboard.js")


def favicon(request: Any) -> str:
    return static("slipway/favicon.svg")


def page(title: str, icon: str, model: str, permission: str) -> dict[str, Any]:
    """Return a sidebar entry for the model's list. Only users with the permission see it."""
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{model}_changelist"),
        "permission": lambda request: request.user.has_perm(permission),
    }


UNFOLD = {
    "SITE_TITLE": "Slipway",
    "DASHBOARD_CALLBACK": "config.console.home.dashboard",
    "SITE_HEADER": "Slipway",
    "SITE_SUBHEADER": "Derived sports data",
    "SITE_SYMBOL": "sailing",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": favicon}],
    "STYLES": [stylesheet],
    "SCRIPTS": [keyboard],
    "SIDEBAR": {
        "navigation": [
            {
                "title": "Rollouts",
                "items": [
                    page("Rollouts", "rocket_launch", "rollout_rollout", "rollout.view_rollout"),
                    page("Stage policies", "rule", "rollout_stagepolicy", "rollout.view_stagepolicy"),
                    page("Transitions", "timeline", "rollout_transition", "rollout.view_transition"),
                ],
            },
            {
                "title": "Health",
                "items": [
                    page("Validation runs", "verified", "validation_validationrun", "validation.view_validationrun"),
                    page("Recovery runs", "settings_backup_restore", "rollout_recoveryrun", "rollout.view_recoveryrun"),
                    page("Snapshots", "inventory_2", "rollout_snapshot", "rollout.view_snapshot"),
                ],
            },
            {
                "title": "Fleet",
                "items": [
                    page("Provider states", "radar", "providers_providerstate", "providers.view_providerstate"),
                    page("Providers", "hub", "providers_provider", "providers.view_provider"),
                    page("Lines", "list_alt", "providers_propline", "providers.view_propline"),
                    page("Events", "event", "providers_event", "providers.view_event"),
                    page("Fetch attempts", "swap_vert", "providers_fetchattempt", "providers.view_fetchattempt"),
                    page("Status changes", "history", "providers_statuschange", "providers.view_statuschange"),
                ],
            },
            {
                "title": "Caches",
                "items": [
                    page("Cache entries", "bolt", "caching_cacheentry", "caching.view_cacheentry"),
                    page("Cache targets", "target", "caching_cachetarget", "caching.view_cachetarget"),
                    page("Warm-ups", "local_fire_department", "caching_warmup", "caching.view_warmup"),
                    page("Cache policies", "timer", "caching_cachepolicy", "caching.view_cachepolicy"),
                ],
            },
            {
                "title": "Box scores",
                "items": [
                    page("Game logs", "scoreboard", "providers_gamelog", "providers.view_gamelog"),
                    page("Uploads", "upload_file", "providers_gamelogupload", "providers.view_gamelogupload"),
                ],
            },
            {
                "title": "Access",
                "items": [
                    page("Users", "person", "auth_user", "auth.view_user"),
                    page("Groups", "group", "auth_group", "auth.view_group"),
                    page("Edits", "edit_note", "pghistory_context", "pghistory.view_context"),
                ],
            },
        ]
    },
}
