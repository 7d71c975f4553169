"""The synthetic season: drawn from the stated distributions, and the same for the same seed."""

import json
import math
import urllib.request
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.stub.counts import CountDistribution, draw_counts, latent_correlation, latent_matrix
from providers.stub.game_logs import game_logs, roster
from providers.stub.season import SEASONS
from providers.stub.server import SEED

TODAY = date(2026, 1, 5)
SIX = {
    "NBA": {"LeBron James": "F", "Luka Doncic": "G"},
    "MLB": {"Aaron Judge": "OF", "Mookie Betts": "OF"},
    "NFL": {"Josh Allen": "QB", "Patrick Mahomes": "QB"},
}
PROPS = {"NBA": 15, "MLB": 10, "NFL": 8, "NHL": 5}
STRONGEST = {("NBA", "points"): 0.75, ("MLB", "hits"): 0.82, ("NFL", "passing_yards"): 0.78}


def stated(sport: str) -> list[tuple[str, str, str, float]]:
    """Return each position group with two of its statistics and their stated correlation."""
    pairs = []
    for name, group in SEASONS[sport].groups.items():
        statistics = list(group.counts)
        for i, row in enumerate(group.correlations, 1):
            pairs += [(name, statistics[i], statistics[j], correlation) for j, correlation in enumerate(row)]
    return pairs


@pytest.mark.parametrize("sport", SEASONS)
def test_it_is_about_4000_rows_of_whole_numbers(sport: str) -> None:
    logs = game_logs(sport, SEED, TODAY)
    assert 3900 <= len(logs) <= 4100
    counts = [value for log in logs for value in log["stats"].values()]
    assert all(isinstance(value, int) and value >= 0 for value in counts)
    assert {len(log["stats"]) for log in logs} == {PROPS[sport]}
    assert len({(log["game"], log["player_id"]) for log in logs}) == len(logs)
    assert logs[-1]["played_on"] == (TODAY - timedelta(days=1)).isoformat()


@pytest.mark.parametrize("sport", SIX)
def test_it_includes_the_six_players(sport: str) -> None:
    groups = {player.name: player.group for player in roster(sport)}
    assert {name: groups[name] for name in SIX[sport]} == SIX[sport]
    played = [log["player"] for log in game_logs(sport, SEED, TODAY)]
    assert all(played.count(name) == SEASONS[sport].rounds for name in SIX[sport])


@pytest.mark.parametrize("sport", SEASONS)
def test_the_rows_depend_on_the_seed_alone(sport: str) -> None:
    def undated(seed: int, today: date) -> list[dict[str, Any]]:
        return [{**log, "played_on": None} for log in game_logs(sport, seed, today)]

    assert undated(1, TODAY) == undated(1, TODAY + timedelta(days=400))
    assert undated(1, TODAY) != undated(2, TODAY)


def test_it_returns_the_games_since_a_day() -> None:
    since = TODAY - timedelta(days=10)
    new = game_logs("NBA", SEED, TODAY, since)
    assert new == [log for log in game_logs("NBA", SEED, TODAY) if log["played_on"] >= since.isoformat()]
    assert 0 < len(new) < 500


@pytest.mark.parametrize("sport", ["NBA", "MLB", "NFL"])
def test_the_strongest_pair_of_each_statistic_is_strong(sport: str) -> None:
    strongest: dict[str, float] = {}
    for _, one, two, r in stated(sport):
        for statistic in (one, two):
            strongest[statistic] = max(strongest.get(statistic, 0), abs(r))
    assert len(strongest) == 5
    assert all(0.70 <= r <= 0.85 for r in strongest.values())
    for (name, statistic), r in STRONGEST.items():
        if name == sport:
            assert strongest[statistic] == r


def test_the_stated_correlations_are_recovered_from_the_season() -> None:
    """Check the default seed: nine of ten pairs are within their 95 % interval, and all within their 99.99 % interval.

    The intervals are those of Fisher's z.
    """
    distances = []
    for sport in SEASONS:
        logs = game_logs(sport, SEED, TODAY)
        for group, one, two, r in stated(sport):
            rows = np.array([(log["stats"][one], log["stats"][two]) for log in logs if log["position"] == group])
            measured = np.corrcoef(rows.T)[0, 1]
            distances.append(abs(math.atanh(measured) - math.atanh(r)) * math.sqrt(len(rows) - 3))
    assert len(distances) > 100
    assert np.mean(np.array(distances) <= 1.96) >= 0.9
    assert max(distances) <= 3.89


@pytest.mark.parametrize("sport", SEASONS)
def test_means_and_deviations_are_the_stated_ones(sport: str) -> None:
    logs = game_logs(sport, SEED, TODAY)
    for name, group in SEASONS[sport].groups.items():
        for statistic, (mean, deviation) in group.counts.items():
            counts = np.array([log["stats"][statistic] for log in logs if log["position"] == name])
            assert abs(counts.mean() - mean) < 5 * deviation / math.sqrt(len(counts))
            assert counts.std() == pytest.approx(deviation, rel=0.15)


@given(st.floats(0.2, 30), st.floats(1.02, 2))
def test_a_count_has_its_mean_and_deviation(mean: float, spread: float) -> None:
    count = CountDistribution(mean, math.sqrt(mean * spread))
    rows = np.searchsorted(count.thresholds, np.random.default_rng(1).standard_normal(40_000))
    assert abs(rows.mean() - mean) < 6 * count.deviation / 200
    assert math.sqrt(count.variance) == pytest.approx(count.deviation, rel=1e-3)


def test_an_underdispersed_count_is_binomial() -> None:
    count = CountDistribution(2.8, 0.9)
    assert len(count.thresholds) == 4
    assert math.sqrt(count.variance) == pytest.approx(0.9, rel=0.1)


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.3, 0.8), st.floats(0.5, 5), st.floats(0.5, 5))
def test_the_latent_correlation_gives_the_counts_the_stated_one(r: float, one: float, two: float) -> None:
    counts = [CountDistribution(one, math.sqrt(1.2 * one)), CountDistribution(two, math.sqrt(1.2 * two))]
    rows = draw_counts(counts, latent_matrix(counts, np.array([[1, r], [r, 1]])), 100_000, np.random.default_rng(3))
    assert np.asarray(np.corrcoef(rows.T))[0, 1] == pytest.approx(r, abs=0.02)


def test_a_correlation_that_such_counts_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot have a correlation"):
        latent_correlation(CountDistribution(0.1, 0.32), CountDistribution(0.1, 0.32), -0.9)


def get(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.loads(answer.read())


def test_the_stub_feed_serves_it_in_pages(stub_feed: Callable[..., str]) -> None:
    url, logs, page = stub_feed(), [], 1
    while page:
        answer = get(f"{url}/stub/v1/gamelogs?sport=nba&page={page}")
        assert (answer["source"], answer["total"]) == ("stub", 4000)
        logs += answer["logs"]
        page = answer["next_page"]
    assert len(logs) == 4000
    assert get(f"{url}/stub/v1/gamelogs?sport=NBA&since=2999-01-01")["logs"] == []


@pytest.mark.parametrize(
    ("query", "status"), [("sport=CURLING", 404), ("sport=NBA&since=x", 422), ("sport=NBA&page=x", 422)]
)
def test_it_refuses_unknown_parameters(query: str, status: int, stub_feed: Callable[..., str]) -> None:
    with pytest.raises(urllib.error.HTTPError, match=str(status)) as refused:
        get(f"{stub_feed()}/stub/v1/gamelogs?{query}")
    refused.value.close()
