"""The derivations: against published figures, and against the parameters of the stub's season."""

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caching.derivations import correlation, factor, player
from caching.derivations.games import PROPS, STATISTICS, Floats, Games
from caching.derivations.payloads import CorrelationPayload, FactorPayload, PlayerPayload, PositionGroup
from caching.derivations.pearson import correlate, interval
from caching.derivations.result import TooFewGames, encode_payload
from caching.warming.box_score_query import read_games
from core.access.actors import SYSTEM
from providers.gamelogs.operations import import_file
from providers.models import GameLog
from providers.stub.game_logs import game_logs
from providers.stub.season import SEASONS
from providers.stub.server import SEED

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data"
SAMPLES = ["nfl_player_stats_2023", "nfl_player_stats_2024", "mlb_batting_2020"]
samples = pytest.mark.skipif(not RECORDED.exists(), reason="the samples are not next to the checkout")


def stub_season(sport: str, statistics: tuple[str, ...] | None = None) -> Games:
    logs, names = game_logs(sport, SEED, date(2026, 1, 5)), statistics or STATISTICS[sport]
    return Games(
        "stub",
        sport,
        names,
        np.array([log["player"] for log in logs]),
        np.array([log["position"] for log in logs]),
        np.array([[log["stats"][name] for name in names] for log in logs], dtype=float),
        date(2026, 1, 4),
    )


def games_of(
    counts: Floats, group: str = "G", statistics: tuple[str, ...] = ("points", "rebounds", "assists")
) -> Games:
    n = len(counts)
    return Games("plain", "NBA", statistics, np.array(["A"] * n), np.array([group] * n), counts, date(2026, 1, 4))


def correlation_payload(games: Games, statistic: str) -> CorrelationPayload:
    payload = correlation.derive(games, statistic).payload
    assert isinstance(payload, CorrelationPayload)
    return payload


def factor_payload(games: Games) -> FactorPayload:
    payload = factor.derive(games).payload
    assert isinstance(payload, FactorPayload)
    return payload


def player_payload(games: Games, name: str) -> PlayerPayload:
    payload = player.derive(games, name).payload
    assert isinstance(payload, PlayerPayload)
    return payload


@pytest.fixture
def sample(fleet: None, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Import the sample, and return the figures that it must give."""
    about: dict[str, Any] = json.loads((RECORDED / "EXPECTED.json").read_bytes())["gamelogs"][f"{request.param}.csv"]
    logs = RECORDED / "gamelogs"
    with (logs / f"{request.param}.csv").open("rb") as file, (logs / "nfl_games_2023_2024.csv").open("rb") as games:
        import_file(file, about["sport"], actor=SYSTEM, schedule=games if about["sport"] == "NFL" else None)
    return about


@samples
@pytest.mark.django_db
@pytest.mark.parametrize("sample", SAMPLES, indirect=True)
def test_the_samples_give_the_expected_figures(sample: dict[str, Any]) -> None:
    sport = sample["sport"]
    games = read_games(sport, STATISTICS[sport])
    assert len(games.counts) == sample["rows"]
    for statistic in games.statistics:
        groups = {group.group: group for group in correlation_payload(games, statistic).groups}
        assert set(groups) == {*sample["pearson_by_position_group"], "pooled"}
        for name, expected in sample["pearson_by_position_group"].items():
            assert groups[name].n == expected["n"]
            _same_pairs(groups[name], statistic, expected["pairs"])
        _same_pairs(groups["pooled"], statistic, sample["pearson_pooled"])
    model, expected = factor_payload(games), sample["pca3_core"]
    assert model.explained_variance == pytest.approx(expected["explained_variance_ratio"], abs=1e-6)
    for row, loadings in zip(model.loadings, expected["abs_loadings"], strict=True):
        assert dict(zip(games.statistics, np.abs(row), strict=True)) == pytest.approx(loadings, abs=1e-6)


def _same_pairs(group: PositionGroup, statistic: str, expected: dict[str, Any]) -> None:
    for pair in group.pairs:
        figure = expected.get(f"{statistic}|{pair.other}") or expected.get(f"{pair.other}|{statistic}")
        assert figure is not None
        assert pair.n == figure["n"]
        assert pair.r == (None if figure["r"] is None else pytest.approx(figure["r"], abs=1e-6))


@samples
@pytest.mark.django_db
@pytest.mark.parametrize("sample", SAMPLES, indirect=True)
def test_the_samples_give_the_expected_means_of_players(sample: dict[str, Any]) -> None:
    games = read_games(sample["sport"], PROPS[sample["sport"]])
    for name, expected in sample["players_ewma"].items():
        payload = player_payload(games, name)
        assert payload.games == expected["games"]
        means = {projection.statistic: projection.ewma for projection in payload.projections}
        wanted = {statistic: value for statistic, value in expected["ewma"].items() if statistic in means}
        assert len(wanted) >= 8
        assert {statistic: means[statistic] for statistic in wanted} == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("sport", ["NBA", "MLB", "NFL"])
def test_the_stubs_season_recovers_its_parameters(sport: str) -> None:
    within = []
    games = stub_season(sport)
    for statistic in games.statistics:
        for group in correlation_payload(games, statistic).groups:
            if group.group == correlation.POOLED:
                continue
            parameters = SEASONS[sport].groups[group.group]
            names = list(parameters.counts)
            for pair in group.pairs:
                if statistic in names and pair.other in names:
                    assert pair.low is not None
                    assert pair.high is not None
                    i, j = sorted((names.index(statistic), names.index(pair.other)))
                    within.append(pair.low <= parameters.correlations[j - 1][i] <= pair.high)
                else:
                    assert pair.r is None  # a statistic that a position never has
    assert np.mean(within) >= 0.9


@pytest.mark.parametrize(("sport", "statistic", "r"), [("NBA", "points", 0.75), ("MLB", "hits", 0.82)])
def test_the_strongest_pair_is_one_of_a_position_group(sport: str, statistic: str, r: float) -> None:
    computed = correlation.derive(stub_season(sport), statistic)
    assert isinstance(computed.payload, CorrelationPayload)
    strongest = computed.payload.strongest
    assert strongest is not None
    assert strongest.group in SEASONS[sport].groups
    assert strongest.r == pytest.approx(r, abs=0.04)
    assert 0.9 < computed.confidence < 1
    assert f"r {strongest.r:.2f}" in computed.narrative


def test_a_correlation_of_too_few_games_has_a_low_confidence() -> None:
    computed = correlation.derive(games_of(np.random.default_rng(1).poisson(5, (12, 3)).astype(float)), "points")
    assert isinstance(computed.payload, CorrelationPayload)
    assert computed.payload.strongest is None
    assert "Too few games" in computed.narrative
    assert computed.confidence < 0.5
    nothing = correlation.derive(games_of(np.empty((0, 3))), "points")
    assert (nothing.confidence, nothing.sample_size) == (0, 0)


def test_a_payload_is_plain_json() -> None:
    games = stub_season("NFL")
    for computed in (correlation.derive(games, "sacks"), factor.derive(games), player.derive(games, "Josh Allen")):
        document = msgspec.to_builtins(computed.payload)
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        assert json.loads(encode_payload(computed.payload)) == document
        assert 0 <= computed.confidence <= 1
        assert computed.narrative.endswith(".")


@given(st.integers(4, 500), st.floats(-0.99, 0.99))
def test_an_interval_holds_its_correlation(n: int, r: float) -> None:
    low, high = interval(r, n)
    assert -1 <= low <= r <= high <= 1


def test_rows_without_a_statistic_do_not_count_for_its_pairs() -> None:
    counts = np.array([[1, 2, np.nan], [2, 4, 1], [3, 7, 2], [4, 8, 5.0]])
    r, n = correlate(counts)
    assert (n[0, 1], n[0, 2], n[2, 2]) == (4, 3, 3)
    assert r[0, 2] == pytest.approx(np.corrcoef(counts[1:, 0], counts[1:, 2])[0, 1])


def test_a_statistic_that_never_varies_has_no_correlation() -> None:
    counts = np.array([[1.0, 5.0, 2.0], [2.0, 5.0, 1.0]] * 20)
    pairs = {pair.other: pair.r for pair in correlation_payload(games_of(counts), "points").groups[0].pairs}
    assert pairs["rebounds"] is None
    assert pairs["assists"] == pytest.approx(-1)


def test_loadings_have_length_one_and_a_fixed_sign() -> None:
    for sport in SEASONS:
        model = factor_payload(stub_season(sport))
        loadings = np.array(model.loadings)
        assert np.linalg.norm(loadings, axis=1) == pytest.approx([1, 1, 1])
        assert all(row[np.abs(row).argmax()] > 0 for row in loadings)
        assert sorted(model.explained_variance, reverse=True) == model.explained_variance
        assert sum(model.explained_variance) <= 1


def test_a_model_of_too_few_games_is_refused() -> None:
    with pytest.raises(TooFewGames, match="12 complete games"):
        factor.derive(games_of(np.random.default_rng(1).poisson(5, (12, 3)).astype(float)))


def season_of(means: dict[str, float], games: int, seed: int = 3) -> Games:
    rng, rows = np.random.default_rng(seed), []
    for _ in range(games):
        rows += [(name, rng.poisson(mean)) for name, mean in means.items()]
    counts = np.array([[float(count)] for _, count in rows])
    names = np.array([name for name, _ in rows])
    return Games("plain", "NBA", ("points",), names, np.array(["G"] * len(rows)), counts, date(2026, 1, 4))


def test_many_games_of_a_player_unlike_his_peers_count() -> None:
    games = season_of({"high": 30, "low": 10, "mid": 20}, 60)
    [projection] = player_payload(games, "high").projections
    assert projection.projection == pytest.approx(projection.ewma, abs=0.5)
    assert player.derive(games, "high").confidence > 0.9
    assert len(projection.last) == 5


def test_a_player_like_his_peers_is_shrunk_to_their_mean() -> None:
    games = season_of({f"p{n}": 20 for n in range(20)}, 60, seed=5)
    [projection] = player_payload(games, "p0").projections
    peers = games.counts.mean()
    assert abs(projection.projection - peers) < abs(projection.ewma - peers) / 2
    assert player.derive(games, "p0").confidence < 0.5


def test_newer_games_count_for_more() -> None:
    means = [
        player.weighted_mean(np.array(counts))[0] for counts in ([10.0] * 20 + [20.0] * 10, [20.0] * 10 + [10.0] * 20)
    ]
    assert means[0] > 15 > means[1]
    mean, effective = player.weighted_mean(np.full(1000, 3.0))
    assert mean == pytest.approx(3)
    assert effective == pytest.approx((1 + 0.5**0.1) / (1 - 0.5**0.1), rel=1e-6)


def test_an_unknown_player_has_no_projection() -> None:
    with pytest.raises(TooFewGames, match="no game of Nobody"):
        player.derive(stub_season("NBA"), "Nobody")


@pytest.mark.django_db
def test_real_and_synthetic_games_are_never_mixed(fleet: None) -> None:
    usual: dict[str, Any] = {"sport_id": "NBA", "position": "PG", "played_on": date(2026, 1, 4), "stats": {"points": 3}}
    GameLog.objects.create(source="stub", player_id="s", player="S", game="1", **usual)
    assert (read_games("NBA", ("points",)).source, len(read_games("NBA", ("points",)).counts)) == ("stub", 1)
    GameLog.objects.create(source="plain", player_id="p", player="P", game="1", **usual)
    games = read_games("NBA", ("points", "rebounds"))
    assert (games.source, games.players.tolist(), games.groups.tolist()) == ("plain", ["P"], ["G"])
    assert games.newest == date(2026, 1, 4)
    assert math.isnan(games.counts[0, 1])


@pytest.mark.django_db
def test_a_sport_without_games_is_empty() -> None:
    games = read_games("NBA", STATISTICS["NBA"])
    assert (games.counts.shape, games.newest) == ((0, 5), None)
