"""Files uploaded in the admin: kept in the database, and imported by any free worker."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, BinaryIO

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from core.access.actors import SYSTEM
from core.errors import Refused, WrongInput
from providers import operations, tasks
from providers.gamelogs import upload_parts, uploads
from providers.gamelogs.loader import Imported
from providers.gamelogs.operations import import_file
from providers.gamelogs.upload_progress import UploadProgress, read_progress, report_progress
from providers.models import GameLog, GameLogUpload, UploadedPart
from tests.conftest import committed
from tests.providers.test_game_logs import LEBRON, NFL_HEADER, PLAIN, SCHEDULE

pytestmark = pytest.mark.django_db
NUL = '{"a": "b\\u0000"}'
LIST = "/admin/providers/gamelogupload/"


@pytest.fixture(autouse=True)
def _fleet(fleet: None) -> None: ...


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_parts, "PART_BYTES", 64)


def keep(text: str = PLAIN, *, skip_bad: bool = False) -> GameLogUpload:
    return uploads.upload("logs.csv", [text.encode()], "NBA", actor=SYSTEM, skip_bad=skip_bad)


def test_a_worker_imports_it_and_deletes_its_bytes() -> None:
    made = keep()
    assert made.parts.count() > 2
    assert made.size_bytes == len(PLAIN)
    tasks.import_uploads()
    made.refresh_from_db()
    assert (made.state, made.outcome["created"], made.problem) == ("done", 2, "")
    assert made.ended_at is not None
    assert GameLog.objects.count() == 2
    assert UploadedPart.objects.count() == 0


def test_a_large_file_is_imported_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_parts, "PART_BYTES", 4096)
    rows = [LEBRON.replace("g1", f"g{n}").replace("lj", f"p{n}") for n in range(5000)]
    made = keep("\n".join([PLAIN, *rows]))
    reported: list[UploadProgress | None] = []

    def watch(upload: GameLogUpload, rows: int, read_bytes: int) -> None:
        report_progress(upload, rows, read_bytes)
        reported.append(read_progress(made))

    monkeypatch.setattr(uploads, "report_progress", watch)
    tasks.import_uploads()
    assert GameLog.objects.count() == 5002
    assert [progress.rows for progress in reported if progress] == [2000, 4000, 5002]
    assert [progress.share for progress in reported if progress] == sorted(p.share for p in reported if p)
    made.refresh_from_db()
    assert read_progress(made) is None


def test_a_bad_row_stores_nothing_and_is_kept_with_its_place() -> None:
    made = keep(f"{PLAIN}\n2026-01-06,g2,X,x,LAL,F,many,1")
    uploads.import_waiting()
    made.refresh_from_db()
    assert (made.state, GameLog.objects.count()) == ("failed", 0)
    problem = "1 bad row, nothing stored: line 4, column points: must be a number (got 'many')"
    assert made.problem.startswith(f"cannot import the file: {problem}")
    assert made.outcome["bad"][0]["line"] == 4


def test_an_unexpected_error_keeps_no_other_file_from_its_import(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, good = keep(skip_bad=True), keep()

    def break_one(file: BinaryIO, sport: str, *, skip_bad: bool, **options: Any) -> Imported:
        if skip_bad:
            raise KeyError
        return import_file(file, sport, **options)

    monkeypatch.setattr(uploads, "import_file", break_one)
    assert uploads.import_waiting() == 2
    broken.refresh_from_db()
    good.refresh_from_db()
    problem = "cannot import the file: unexpected KeyError; look at the worker's log"
    assert (broken.state, broken.problem) == ("failed", problem)
    assert good.state == "done"


def test_a_file_whose_worker_dies_each_time_fails_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    made = keep()

    def die(*args: Any, **options: Any) -> Imported:
        raise SystemExit  # the import's transaction ends with its worker, and the row is as it was

    monkeypatch.setattr(uploads, "import_file", die)
    for _ in range(uploads.ATTEMPTS):
        with pytest.raises(SystemExit):
            uploads.import_waiting()
    made.refresh_from_db()
    assert (made.state, made.attempts) == ("waiting", uploads.ATTEMPTS)
    uploads.import_waiting()
    made.refresh_from_db()
    problem = "cannot import the file: its worker died 3 times; look at the worker's log"
    assert (made.state, made.problem) == ("failed", problem)
    assert made.parts.count() == 0


def test_bad_bytes_in_a_reason_keep_no_other_file_from_its_import() -> None:
    text = f"{NFL_HEADER}\n00-1,Derrick Henry,RB,RB,BAL,2024,1\0,KC,2,1,0,0,0,0"
    uploads.upload("bad.csv", [text.encode()], "NFL", actor=SYSTEM, schedule=[SCHEDULE.encode()])
    good = keep()
    assert uploads.import_waiting() == 2
    good.refresh_from_db()
    assert good.state == "done"


def test_ended_uploads_are_deleted_after_their_retention() -> None:
    old, waiting = keep(), keep()
    uploads.import_waiting()
    GameLogUpload.objects.filter(pk=waiting.pk).update(state="waiting")
    GameLogUpload.objects.update(ended_at=Now() - timedelta(days=91))
    operations.prune()
    assert list(GameLogUpload.objects.values_list("pk", flat=True)) == [waiting.pk] != [old.pk]


def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_BYTES", 100)
    with pytest.raises(WrongInput, match="larger than"):
        keep()
    assert GameLogUpload.objects.count() == UploadedPart.objects.count() == 0


@committed
def test_several_workers_never_import_the_same_file(fleet: None) -> None:
    for _ in range(6):
        keep()

    def work(_: int) -> int:
        try:
            return uploads.import_waiting()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 6
    assert set(GameLogUpload.objects.values_list("state", flat=True)) == {"done"}
    assert sum(made.outcome["created"] for made in GameLogUpload.objects.all()) == 2


def form(text: str = PLAIN, sport: str = "NBA", **fields: Any) -> dict[str, Any]:
    return {"file": SimpleUploadedFile("logs.csv", text.encode()), "sport": sport} | fields


def test_the_form_takes_a_file(browse: Callable[[str], Client]) -> None:
    client = browse("Operator")
    page = client.get(f"{LIST}add/").content.decode()
    assert "multipart/form-data" in page
    answer = client.post(f"{LIST}add/", form(mapping=json.dumps({"points": "points"})), follow=True)
    assert "logs.csv" in answer.content.decode()
    uploads.import_waiting()
    made = GameLogUpload.objects.get()
    assert (made.state, made.uploaded_by, made.mapping) == ("done", "operator", {"points": "points"})
    page = client.get(f"{LIST}{made.pk}/change/").content.decode()
    assert "2 new" in page


def test_the_form_takes_a_schedule(browse: Callable[[str], Client]) -> None:
    text = f"{NFL_HEADER}\n00-1,Derrick Henry,RB,RB,BAL,2024,1,KC,2,1,0,0,0,0"
    schedule = SimpleUploadedFile("games.csv", SCHEDULE.encode())
    browse("Operator").post(f"{LIST}add/", form(text, "NFL", schedule=schedule))
    uploads.import_waiting()
    assert GameLog.objects.get().game == "2024_01_BAL_KC"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"file": ""}, "required"),
        ({"mapping": "["}, "valid JSON"),
        ({"mapping": "[1]"}, "columns to statistics"),
        ({"mapping": NUL}, "the statistic of column a must be"),
    ],
)
def test_the_form_names_the_problem(change: dict[str, Any], problem: str, browse: Callable[[str], Client]) -> None:
    answer = browse("Operator").post(f"{LIST}add/", form(**change))
    assert problem in answer.content.decode()
    assert GameLogUpload.objects.count() == 0


def test_a_viewer_cannot_upload(browse: Callable[[str], Client]) -> None:
    client = browse("Viewer")
    assert client.get(LIST).status_code == 200
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}add/", form()).status_code == 403
    with pytest.raises(Refused):
        uploads.upload("x", [b""], "NBA", actor=User.objects.get(username="viewer"))


def test_the_list_shows_how_far_the_import_is(browse: Callable[[str], Client]) -> None:
    made = keep()
    report_progress(made, rows=1, read_bytes=made.size_bytes // 2)
    client = browse("Viewer")
    page = client.get(LIST).content.decode()
    assert "<progress" in page
    assert "1 rows" in page
    assert 'hx-trigger="every 3s' in page  # the page is refreshed until the import has ended
    uploads.import_waiting()
    assert 'hx-trigger="every 3s' not in client.get(LIST).content.decode()
