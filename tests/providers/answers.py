"""Small synthetic answers of each API, in the shape that the upstreams send."""

from datetime import UTC, datetime, timedelta
from typing import Any


def soon() -> str:
    return (datetime.now(UTC) + timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%SZ")


def prizepicks() -> dict[str, Any]:
    def projection(id: str, player: str, stat: str, score: float, **attributes: object) -> dict[str, Any]:
        offer: dict[str, object] = {"line_score": score, "stat_type": stat, "start_time": soon(), "game_id": "G1"}
        to_player = {"new_player": {"data": {"type": "new_player", "id": player}}}
        return {"type": "projection", "id": id, "attributes": offer | attributes, "relationships": to_player}

    def player(id: str, name: str, team: str, *, combo: bool = False) -> dict[str, Any]:
        return {"type": "new_player", "id": id, "attributes": {"name": name, "team": team, "combo": combo}}

    return {
        "data": [
            projection("1", "7", "Points", 25.5, description="DEN", odds_type="standard"),
            projection("2", "7", "Points", 30.5, description="DEN", odds_type="demon"),
            projection("3", "7", "Points", 25.5, description="DEN", odds_type="goblin"),  # the first line again
            projection("4", "8", "Points (Combo)", 49, description="DEN/LAL"),
            projection("5", "9", "30+ Points Games", 15.5, game_id=None),  # no single game; its player is not included
        ],
        "included": [
            player("7", "LeBron James", "LAL"),
            player("8", "LeBron James + Nikola Jokic", "LAL/DEN", combo=True),
            {"type": "stat_type", "id": "19", "attributes": {"name": "Points", "rank": 0}},
        ],
    }


def sportradar_markets() -> dict[str, Any]:
    teams = [{"name": "Denver Nuggets", "qualifier": "away"}, {"name": "Los Angeles Lakers", "qualifier": "home"}]

    def book(name: str, *outcomes: dict[str, Any], removed: bool = False) -> dict[str, Any]:
        return {"id": f"sr:book:{name}", "name": name, "removed": removed, "outcomes": list(outcomes)}

    winner = {"type": "home", "odds_american": "-120", "odds_decimal": "1.83"}
    over = {"type": "over", "odds_american": "+105", "total": "221.5"}
    spread = {"type": "home", "odds_american": "-110", "spread": "-3.5"}
    return {
        "generated_at": "2026-01-05T12:00:00+00:00",
        "competition_sport_event_markets": [
            {
                "sport_event": {"id": "sr:sport_event:1", "start_time": soon(), "competitors": teams},
                "markets": [
                    {"name": "winner (incl. overtime)", "books": [book("DraftKings", winner), book("FanDuel", winner)]},
                    {"name": "total (incl. overtime)", "books": [book("DraftKings", over)]},
                    {"name": "spread (incl. overtime)", "books": [book("BetMGM", spread, removed=True)]},
                ],
            }
        ],
    }


def sportradar_props() -> dict[str, Any]:
    over = {"type": "over", "odds_american": "-115", "total": "25.5"}
    points = {"name": "total points (incl. overtime)", "books": [{"name": "DraftKings", "outcomes": [over]}]}
    of_player = {"player": {"id": "sr:player:1", "name": "James, LeBron"}, "markets": [points]}
    return {"generated_at": "2026-01-05T12:00:00+00:00", "sport_event_players_props": {"players_props": [of_player]}}
