"""The pictures of the documentation: `make screenshots`. They show values that were polled, computed and measured."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from django.core.management import call_command
from django.db import connection
from pytest_django import Settings

from core.access.actors import Machine
from rollout.control.loop import tick
from rollout.models import Rollout
from rollout.operations import lifecycle
from tests.browser.reader import Reader
from tests.databases import ROOT

PICTURES = ROOT / "docs" / "pictures"
SECONDS, TICK_SECONDS = 110, 4.5  # into PARTIAL_ACTIVE, at pace 0.05


def take_picture(reader: Reader, path: str, name: str, height: int) -> None:
    reader.driver.set_window_size(1280, height)
    reader.open(path)
    time.sleep(1)  # until the fonts are loaded
    reader.driver.save_screenshot(str(PICTURES / f"{name}.png"))


def drive(site: str, settings: Settings) -> threading.Thread:
    """Send real requests to the site from a thread, for SECONDS. Return the thread."""
    settings.SITE_URL, settings.API_TOKEN = site, "let-me-in"

    def send() -> None:
        call_command("drive", "--rate", "15", f"--seconds={SECONDS}", "--json")
        connection.close()

    driving = threading.Thread(target=send)
    driving.start()
    return driving


def test_take_all_pictures(
    signed_in: Callable[[str], Reader], stub_feed: Callable[..., str], settings: Settings, tmp_path: Path
) -> None:
    reader = signed_in("Operator")
    PICTURES.mkdir(exist_ok=True)
    stub_feed()
    call_command("poll_providers", "--once")
    call_command("snapshot", "create", "--reason", "before the rollout")
    call_command("snapshot", "verify")
    for level in ("emergency", "standard", "gradual"):
        call_command("rollback", "--level", level, "--rehearse")
    call_command("validate")
    call_command("validate", "--suite", "extended")
    rollout = Rollout.objects.get()
    lifecycle.start(rollout, actor=Machine("anna"), reason="the new way, on a quiet night", pace=0.05)
    driving, ends = drive(reader.site, settings), time.monotonic() + SECONDS - 10
    while time.monotonic() < ends:
        tick()
        time.sleep(TICK_SECONDS)
    take_picture(reader, "/admin/", "home", 1000)
    take_picture(reader, f"/admin/rollout/rollout/{rollout.pk}/change/", "rollout", 1700)
    driving.join()
    take_picture(reader, "/admin/rollout/recoveryrun/", "recovery", 800)
    take_picture(reader, "/admin/validation/validationrun/", "validation", 1000)
    take_picture(reader, "/admin/providers/providerstate/", "fleet", 900)
