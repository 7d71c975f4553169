"""Each fault in a real database makes the check for it fail, and no unrelated one."""

from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta

import pytest
from django.db import Error, connection
from pytest_django import Settings

import caching.models
from core.health_checks import Result, Suite, checks
from providers.models import GameLog, Sport
from tests.installation import Site
from validation.runner import run_checks

BAD = (Result.FAIL, Result.ERROR)
ORPHAN = (
    "ALTER TABLE provider_states DROP CONSTRAINT {fk}; "
    "UPDATE provider_states SET sport = 'CHESS' WHERE provider_name = 'betmgm' AND sport = 'NBA'; "
    "ALTER TABLE provider_states ADD CONSTRAINT {fk} FOREIGN KEY (sport) REFERENCES providers_sport (code) "
    "DEFERRABLE INITIALLY DEFERRED NOT VALID"
)
RIGHT_HASH = "data_hash = encode(sha256(convert_to({}, 'UTF8')), 'hex')"


def failures(suite: Suite = Suite.EXIT) -> dict[str, str]:
    """Run the suite. Return the message and the offending rows of each check that fails, by its id."""
    outcomes = run_checks([check for check in checks(suite) if check.when()]).outcomes
    return {
        outcome.check.id: f"{outcome.finding.message} {outcome.finding.offending}"
        for outcome in outcomes
        if outcome.finding.result in BAD
    }


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def foreign_key() -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'provider_states'::regclass "
            "AND confrelid = 'providers_sport'::regclass"
        )
        return str(cursor.fetchone()[0])


def test_a_complete_installation_passes(installation: None) -> None:
    outcomes = run_checks(checks(Suite.EXIT), is_full=True).outcomes
    not_passed = [outcome for outcome in outcomes if outcome.finding.result is not Result.PASS]
    assert [(outcome.check.id, outcome.finding.message) for outcome in not_passed] == []
    assert len(outcomes) == 18
    assert failures(Suite.POST_ROLLBACK) == {}
    assert failures(Suite.EXTENDED) == {}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "DROP TABLE portfolio_rationales CASCADE",
            {
                "table_exists_portfolio_rationales",
                "import_PortfolioRationale",
                "cache_entries_count",
                "cache_type_coverage",
                "cache_expiry_status",
                "cache_json_validity",
            },
        ),
        (
            "ALTER TABLE provider_states DROP COLUMN capabilities CASCADE",
            {"table_exists_provider_states", "import_ProviderState"},
        ),
        (
            "ALTER TABLE portfolio_rationales DROP COLUMN narrative CASCADE",
            {"table_exists_portfolio_rationales", "import_PortfolioRationale"},
        ),
        (
            "ALTER TABLE portfolio_rationales ADD COLUMN more text",
            {"table_exists_portfolio_rationales", "import_PortfolioRationale"},
        ),
        (
            "ALTER TABLE portfolio_rationales ALTER COLUMN subject TYPE text",
            {"table_exists_portfolio_rationales", "import_PortfolioRationale"},
        ),
        (
            "ALTER TABLE provider_states ALTER COLUMN last_error DROP NOT NULL",
            {"table_exists_provider_states", "import_ProviderState"},
        ),
        (
            "ALTER TABLE provider_states DROP CONSTRAINT provider_state_interval_30_to_300",
            {"table_exists_provider_states"},
        ),
        ("ALTER TABLE provider_states DROP CONSTRAINT provider_state_unique", {"table_exists_provider_states"}),
        ("ALTER TABLE provider_states DROP CONSTRAINT {fk}", {"table_exists_provider_states"}),
        (
            "ALTER TABLE portfolio_rationales DROP CONSTRAINT portfolio_rationales_pkey",
            {"table_exists_portfolio_rationales"},
        ),
        ("DROP INDEX cache_entry_flagged", {"table_exists_portfolio_rationales"}),
        (
            "DROP INDEX cache_entry_flagged; CREATE INDEX cache_entry_flagged ON portfolio_rationales (id DESC)",
            {"table_exists_portfolio_rationales"},
        ),
        (
            "ALTER TABLE provider_states DROP CONSTRAINT provider_state_interval_30_to_300; ALTER TABLE provider_states"
            " ADD CONSTRAINT provider_state_interval_30_to_300 CHECK (poll_interval_seconds BETWEEN 1 AND 300)",
            {"table_exists_provider_states"},
        ),
        (
            "ALTER TABLE provider_states DROP CONSTRAINT provider_states_max_retries_check",
            {"table_exists_provider_states"},
        ),
        ("DROP TABLE rollout_visitevidence", {"database_integrity"}),
        ("ALTER TABLE rollout_visitevidence DROP COLUMN record", {"database_integrity"}),
        ("ALTER TABLE rollout_guardpolicy DROP COLUMN metric CASCADE", {"database_integrity"}),
        ("ALTER TABLE provider_states DISABLE TRIGGER USER", {"table_exists_provider_states"}),
        (ORPHAN, {"table_exists_provider_states", "database_integrity", "provider_sports_validity"}),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY twice ON provider_states (sport)",  # leaves an invalid index behind
            {"table_exists_provider_states", "database_integrity"},
        ),
        (
            "DELETE FROM provider_states WHERE (provider_name, sport) IN (('betmgm', 'NBA'), ('betmgm', 'MLB'), "
            "('betmgm', 'NFL'), ('theodds', 'NBA'), ('theodds', 'MLB'))",
            {"provider_states_count"},
        ),
        (
            "DELETE FROM provider_states WHERE sport = 'NHL'",
            {"sports_coverage", "provider_states_count", "active_providers_count"},
        ),
        ("DELETE FROM provider_states WHERE provider_name = 'fanduel'", {"provider_types_coverage"}),
        ("UPDATE provider_states SET status = 'error' WHERE status = 'active'", {"active_providers_count"}),
        (
            "UPDATE provider_states SET consecutive_errors = 4 WHERE provider_name = 'stub' AND sport = 'NBA'",
            {"provider_error_rates"},
        ),
        ("UPDATE provider_states SET consecutive_errors = 9 WHERE NOT is_enabled", set()),
        (
            "DELETE FROM portfolio_rationales WHERE id IN (SELECT id FROM portfolio_rationales "
            "WHERE cache_type = 'CACHE_CORRELATION' LIMIT 6)",
            {"cache_entries_count"},
        ),
        ("DELETE FROM portfolio_rationales WHERE cache_type = 'CACHE_FACTOR'", {"cache_type_coverage"}),
        (
            "DELETE FROM portfolio_rationales WHERE cache_key = 'factor:nba:model:v2.1'; "
            "UPDATE caching_cachetarget SET last_error = 'too few' WHERE cache_type = 'CACHE_FACTOR' AND sport = 'NBA'",
            {"cache_expiry_status"},
        ),
        (
            "UPDATE caching_cachetarget SET is_enabled = false; UPDATE portfolio_rationales "
            "SET soft_expires_at = now() - interval '2 h', expires_at = now() - interval '1 h'",
            set(),  # entries without an enabled target are not served
        ),
        (
            "UPDATE provider_states SET consecutive_errors = 9, status = 'maintenance' WHERE sport = 'NHL' AND "
            "provider_name = 'draftkings'",
            set(),
        ),
        ("DROP TABLE providers_pricemove CASCADE", {"database_integrity"}),
        ("ALTER TABLE providers_event DROP COLUMN home_team", {"database_integrity"}),
        (
            "ALTER TABLE provider_states ALTER COLUMN id DROP IDENTITY",
            {"table_exists_provider_states", "import_ProviderState"},
        ),
        (
            "ALTER TABLE provider_states DROP CONSTRAINT provider_state_unique; "
            "CREATE INDEX provider_state_unique ON provider_states (provider_name, sport)",
            {"table_exists_provider_states"},
        ),
        (
            "UPDATE portfolio_rationales SET soft_expires_at = now() - interval '2 h', "
            "expires_at = now() - interval '1 h' WHERE cache_type = 'CACHE_PLAYER'",
            {"cache_expiry_status"},
        ),
        ("UPDATE portfolio_rationales SET soft_expires_at = now() - interval '11 min'", {"cache_expiry_status"}),
        ("UPDATE portfolio_rationales SET expires_at = now() + interval '25 h'", {"cache_expiry_status"}),
        (
            "UPDATE portfolio_rationales SET soft_expires_at = now() - interval '2 h', "
            "expires_at = now() - interval '1 h', is_flagged = true",
            set(),
        ),
        (
            f"UPDATE portfolio_rationales SET data_json = '{{', {RIGHT_HASH.format(chr(39) + '{' + chr(39))}",
            {"cache_json_validity"},
        ),
        (
            "UPDATE portfolio_rationales SET data_json = '{\"games\": 3}', " + RIGHT_HASH.format("'{\"games\": 3}'"),
            {"cache_json_validity"},
        ),
        (
            "UPDATE portfolio_rationales SET data_json = replace(data_json, '\"stub\"', '\"stuB\"')",
            {"cache_json_validity"},
        ),
        ("DELETE FROM django_migrations WHERE app = 'validation'", {"model_imports_overall"}),
        (
            "INSERT INTO providers_sport (code, name) VALUES ('CHESS', 'Chess'); "
            "UPDATE provider_states SET sport = 'CHESS' WHERE provider_name = 'stub' AND sport = 'NHL'",
            {"provider_sports_validity"},
        ),
        ("UPDATE providers_provider SET adapter = 'uninstalled' WHERE name = 'stub'", {"provider_sports_validity"}),
    ],
)
def test_a_fault_in_the_database_fails_its_check(installation: None, statement: str, expected: set[str]) -> None:
    with suppress(Error) if "CONCURRENTLY" in statement else nullcontext():
        execute(statement.replace("{fk}", foreign_key()))
    assert set(failures()) == expected


def test_the_finding_names_the_fault_and_a_remedy(installation: None) -> None:
    execute("ALTER TABLE provider_states DROP COLUMN capabilities CASCADE")
    chosen = [check for check in checks(Suite.EXIT) if check.id == "table_exists_provider_states"]
    [outcome] = run_checks(chosen).outcomes
    assert "the column capabilities is missing" in outcome.finding.offending
    assert outcome.finding.value == "21 columns"
    assert "manage.py migrate" in outcome.finding.remedy


def test_a_model_edited_without_a_migration_fails(installation: None, monkeypatch: pytest.MonkeyPatch) -> None:
    name, game_number = Sport._meta.get_field("name"), GameLog._meta.get_field("game_number")
    monkeypatch.setattr(name, "max_length", 51)
    assert set(failures()) == {"model_imports_overall"}
    monkeypatch.setattr(name, "max_length", 50)
    monkeypatch.setattr(game_number, "null", not game_number.null)
    assert set(failures()) == {"model_imports_overall"}


def test_an_alias_of_another_model_fails(installation: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.models, "PortfolioRationale", caching.models.CacheValue)
    assert set(failures()) == {"import_PortfolioRationale"}


def test_a_site_that_is_not_ready_fails(installation: None, settings: Settings) -> None:
    for Site.status, Site.body in ((503, b""), (200, b"maintenance"), (200, b'{"ready": false}'), (200, b"[]")):
        assert set(failures()) == {"api_health"}
    settings.SITE_URL = "http://127.0.0.1:9"
    assert set(failures()) == {"api_health"}


def test_a_read_only_database_fails(installation: None) -> None:
    execute(f"ALTER DATABASE {connection.settings_dict['NAME']} SET default_transaction_read_only = on")
    connection.close()
    assert set(failures()) == {"database_connection"}


@pytest.mark.parametrize("is_full", [True, False])
def test_one_changed_byte_among_many_entries_is_found(installation: None, is_full: bool) -> None:
    """In a large table a full run finds it, and so does a later run, because the entry changed after the full run."""
    long_ago = datetime.now(UTC) - timedelta(days=1)
    execute(
        "INSERT INTO portfolio_rationales (cache_key, cache_type, data_json, sport, subject, model_version, data_hash,"
        " context_json, narrative, key_points, confidence, sample_size, generation_time_ms, size_bytes, hit_count,"
        " soft_expires_at, expires_at, ttl_seconds, is_flagged, version, created_at, updated_at)"
        " SELECT cache_key || n, cache_type, data_json, sport, subject, model_version, data_hash, context_json,"
        " narrative, key_points, confidence, sample_size, generation_time_ms, size_bytes, 0, soft_expires_at,"
        " expires_at, ttl_seconds, false, 1, created_at, '2020-01-01'"
        " FROM portfolio_rationales, generate_series(1, 900) n WHERE cache_type = 'CACHE_FACTOR' OR n <= 360"
    )
    execute("ANALYZE portfolio_rationales")
    execute("UPDATE portfolio_rationales SET data_json = data_json || ' ' WHERE cache_key = 'factor:nba:model:v2.1'")
    chosen = [check for check in checks(Suite.EXIT) if check.id == "cache_json_validity"]
    [outcome] = run_checks(chosen, is_full=is_full, since=None if is_full else long_ago).outcomes
    assert outcome.finding.result is Result.FAIL
    assert len(outcome.finding.offending) == 1
