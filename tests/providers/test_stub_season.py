"""The synthetic season: drawn from what it states, the same for the same seed."""

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

from providers.stub.counts import Count, draw, latent, latents
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
    """Position group, two statistics, and their correlation."""
    return [
        (name, statistics[i], statistics[j], group.correlations[i - 1][j])
        for name, group in SEASONS[sport].groups.items()
        for statistics in [list(group.counts)]
        for i in range(len(statistics))
        for j in range(i)
    ]


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
    groups = {name: group for name, _, group in roster(sport)}
    assert {name: groups[name] for name in SIX[sport]} == SIX[sport]
    played = [log["player"] for log in game_logs(sport, SEED, TODAY)]
    assert all(played.count(name) == SEASONS[sport].rounds for name in SIX[sport])


@pytest.mark.parametrize("sport", SEASONS)
def test_only_the_seed_decides_the_rows(sport: str) -> None:
    def undated(seed: int, today: date) -> list[dict[str, Any]]:
        return [{**log, "played_on": None} for log in game_logs(sport, seed, today)]

    assert undated(1, TODAY) == undated(1, TODAY + timedelta(days=400))
    assert undated(1, TODAY) != undated(2, TODAY)


def test_it_serves_what_is_new_since_a_day() -> None:
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
    for (of, statistic), r in STRONGEST.items():
        assert of != sport or strongest[statistic] == r


def test_the_season_recovers_what_it_states() -> None:
    """At the default seed, at least nine of ten pairs within their 95 % interval (Fisher z), all within 99.99 %."""
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
    count = Count(mean, math.sqrt(mean * spread))
    rows = np.searchsorted(count.thresholds, np.random.default_rng(1).standard_normal(40_000))
    assert abs(rows.mean() - mean) < 6 * count.deviation / 200
    assert math.sqrt(count.variance) == pytest.approx(count.deviation, rel=1e-3)


def test_an_underdispersed_count_is_binomial() -> None:
    count = Count(2.8, 0.9)
    assert len(count.thresholds) == 4
    assert math.sqrt(count.variance) == pytest.approx(0.9, rel=0.1)


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.3, 0.8), st.floats(0.5, 5), st.floats(0.5, 5))
def test_the_latent_correlation_gives_the_counts_the_stated_one(r: float, one: float, two: float) -> None:
    counts = [Count(one, math.sqrt(1.2 * one)), Count(two, math.sqrt(1.2 * two))]
    rows = draw(counts, latents(counts, np.array([[1, r], [r, 1]])), 100_000, np.random.default_rng(3))
    assert float(np.corrcoef(rows.T)[0][1]) == pytest.approx(r, abs=0.02)  # type: ignore[index]


def test_a_correlation_that_such_counts_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot have a correlation"):
        latent(Count(0.1, 0.32), Count(0.1, 0.32), -0.9)


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
def test_it_refuses_what_it_does_not_know(query: str, status: int, stub_feed: Callable[..., str]) -> None:
    with pytest.raises(urllib.error.HTTPError, match=str(status)):
        get(f"{stub_feed()}/stub/v1/gamelogs?{query}")
