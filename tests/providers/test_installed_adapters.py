"""Adapters that other distributions add by entry points, wrong ones, and providers whose adapter is missing."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from core.access.actors import SYSTEM
from providers import operations
from providers.models import Provider, ProviderState
from tests.config.test_settings import manage
from tests.conftest import committed
from tests.providers.polls import poll

MODULE = "from providers.adapters import Upstream\nUPSTREAM = Upstream({'NBA': 'x'}, None)\n"
RULE = "its name must not be stub, and must have 1 to 16 of the characters a to z, 0 to 9 and _"
TRY_ALL = """
from providers.adapter_names import AdapterUnusable, adapter_names
from providers.adapters import find_upstream
for name in ("odds_api", *NAMES):
    try:
        print(name, "covers", ", ".join(find_upstream(name).sports))
    except AdapterUnusable as error:
        print(error)
print(adapter_names())
"""


def install(folder: Path, distribution: str, **adapters: str) -> None:
    """Write what an installer leaves of a distribution with these entry points."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    points = "".join(f"{name} = {value}\n" for name, value in adapters.items())
    (info / "entry_points.txt").write_text(f"[slipway.adapters]\n{points}")


def results(folder: Path, *names: str) -> list[str]:
    """Return for each adapter, Slipway's own first, what it covers or why it cannot be used; then all names."""
    done = manage("shell", "-v0", "-c", f"NAMES = {names!r}\n{TRY_ALL}", PYTHONPATH=str(folder))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_installed_adapter_is_used_beside_those_of_slipway(tmp_path: Path) -> None:
    (tmp_path / "acme_feed.py").write_text(MODULE)
    install(tmp_path, "acme", acme="acme_feed:UPSTREAM")
    assert results(tmp_path, "acme") == [
        "odds_api covers MLB, NBA, NFL, NHL",
        "acme covers NBA",
        "['acme', 'odds_api', 'prizepicks', 'sportradar']",
    ]
    assert manage("check", PYTHONPATH=str(tmp_path)).stdout.startswith("System check identified no issues")


def test_an_adapter_that_cannot_be_loaded_costs_itself_alone(tmp_path: Path) -> None:
    (tmp_path / "acme_feed.py").write_text("import nowhere\n")
    (tmp_path / "other_feed.py").write_text("UPSTREAM = 7\n")
    install(tmp_path, "acme", acme="acme_feed:UPSTREAM", other="other_feed:UPSTREAM")
    problems = [
        "cannot load the adapter acme of acme: ModuleNotFoundError: No module named 'nowhere'; "
        "correct acme, then restart the workers",
        "cannot load the adapter other of acme: other_feed:UPSTREAM must be an Upstream (got int); "
        "correct acme, then restart the workers",
    ]
    assert results(tmp_path, "acme", "other")[:3] == ["odds_api covers MLB, NBA, NFL, NHL", *problems]
    checked = manage("check", PYTHONPATH=str(tmp_path))
    assert checked.returncode == 0, "the other adapters work"
    for problem in problems:
        assert problem.partition(";")[0] in checked.stderr
    assert checked.stderr.count("providers.W001") == 2


def test_a_name_that_is_taken_or_malformed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "acme_feed.py").write_text(MODULE)
    value = "acme_feed:UPSTREAM"
    install(tmp_path, "acme", odds_api=value, shared=value, stub=value)
    install(tmp_path, "rival", shared=value, much_longer_than_a_name=value)
    refused = results(tmp_path, "shared", "stub", "much_longer_than_a_name")
    assert refused == [
        "odds_api covers MLB, NBA, NFL, NHL",
        "cannot use the adapter shared: acme and rival have one of that name; uninstall one of them",
        f"cannot use the adapter stub of acme: {RULE}; rename it in the entry points of acme",
        f"cannot use the adapter much_longer_than_a_name of rival: {RULE}; rename it in the entry points of rival",
        "['odds_api', 'prizepicks', 'sportradar']",
    ]
    checked = manage("check", PYTHONPATH=str(tmp_path))
    assert "cannot use the adapter odds_api of acme: Slipway has one of that name" in checked.stderr
    assert checked.stderr.count("providers.W001") == 4


@pytest.fixture
def orphan(fleet: None) -> ProviderState:
    """The enabled state of a provider whose adapter was uninstalled."""
    provider = Provider.objects.create(name="acme", adapter="acme")
    state = ProviderState.objects.create(provider=provider, sport_id="NBA")
    operations.enable([state.pk], actor=SYSTEM)
    return state


@committed
def test_the_feed_of_a_missing_adapter_names_it_and_the_others_go_on(
    orphan: ProviderState, stub_feed: Callable[..., str]
) -> None:
    stub_feed()
    problem = (
        "cannot use the adapter acme: it is not installed; "
        "install the package that has it and restart the workers, or give the provider another adapter"
    )
    assert poll("acme").problem == problem
    orphan.refresh_from_db()
    assert (orphan.last_error, orphan.total_requests) == (problem, 0)
    assert poll("stub").is_good


def test_a_provider_must_have_an_installed_adapter(db: None) -> None:
    with pytest.raises(ValidationError, match=r"installed adapter: odds_api, prizepicks, sportradar \(got acme\)"):
        Provider(name="acme", adapter="acme").full_clean()


def test_the_page_of_a_provider_shows_its_missing_adapter_and_offers_the_installed_ones(
    orphan: ProviderState, browse: Callable[[str], Client]
) -> None:
    client, address = browse("Admin"), "/admin/providers/provider/acme/change/"
    page = client.get(address).content.decode()
    assert '<option value="acme" selected>' in page
    assert '<option value="sportradar">' in page
    fields = {"base_url": "", "credential_env": "", "requests_per_minute": 60}
    refused = client.post(address, fields | {"adapter": "acme"}).content.decode()
    assert "Must be the name of an installed adapter: odds_api, prizepicks, sportradar (got acme)." in refused
    assert client.post(address, fields | {"adapter": "odds_api"}).status_code == 302
    assert Provider.objects.get(name="acme").adapter == "odds_api"
    assert "odds_api" in client.get("/admin/providers/provider/?adapter=odds_api").content.decode()
