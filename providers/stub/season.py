"""The distributions that the stub feed draws each sport's synthetic season from. They are stated, not measured.

For each position group they are: the mean and standard deviation of each leading statistic, in counts per game, and
Pearson's r of each pair (the lower triangle, in the order of the statistics). The rows of a group are independent
draws: no player is better than another, and no day depends on the day before. A further statistic follows a leading
statistic with a stated r, or comes on top of another statistic (attempts on top of makes), the same in all groups; else
it is independent.

The strongest r of each statistic is between 0.70 and 0.85; that of NBA points is 0.75 (with threes, guards), that of
MLB hits 0.82 (with runs, infielders), that of NFL passing yards 0.78 (with sacks taken, quarterbacks).
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PositionGroup:
    """The players of one position group. A statistic that is not named is 0 in every game.

    players: players of each team.
    counts: mean and standard deviation of each leading statistic.
    correlations: Pearson's r of each leading statistic, from the second one on, with those before it.
    """

    players: int
    counts: dict[str, tuple[float, float]]
    correlations: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class FurtherStatistic:
    """A statistic beside the leading ones. Its mean and deviation are those of the count that is drawn.

    follows: the leading statistic that it depends on, with correlation r.
    on_top_of: the statistic that is added to the drawn count.
    groups: the position groups that have it; empty: all of them.
    """

    mean: float
    deviation: float
    follows: str = ""
    r: float = 0.0
    on_top_of: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Season:
    """The season of one sport.

    rounds: games of each team.
    every_days: days from one round to the next.
    positions: the position group of players with a known name; the others fill up the groups.
    """

    rounds: int
    every_days: int
    groups: dict[str, PositionGroup]
    further: dict[str, FurtherStatistic]
    positions: dict[str, str] = field(default_factory=dict)


SEASONS = {
    "NBA": Season(
        rounds=50,
        every_days=2,
        groups={
            "G": PositionGroup(
                4,
                {
                    "points": (18, 7),
                    "rebounds": (4, 2.2),
                    "assists": (6, 2.8),
                    "threes": (2.5, 1.7),
                    "steals": (1.5, 1.3),
                },
                ((0.35,), (0.45, 0.30), (0.75, 0.20, 0.30), (0.35, 0.30, 0.76, 0.20)),
            ),
            "F": PositionGroup(
                4,
                {
                    "points": (15, 6),
                    "rebounds": (7, 3),
                    "assists": (3, 1.9),
                    "threes": (1.6, 1.35),
                    "steals": (1, 1.05),
                },
                ((0.45,), (0.40, 0.77), (0.55, 0.20, 0.25), (0.30, 0.35, 0.35, 0.15)),
            ),
            "C": PositionGroup(
                2,
                {
                    "points": (13, 5.5),
                    "rebounds": (9.5, 3.5),
                    "assists": (2, 1.5),
                    "threes": (0.8, 0.95),
                    "steals": (0.8, 0.95),
                },
                ((0.60,), (0.35, 0.40), (0.40, 0.10, 0.25), (0.25, 0.30, 0.30, 0.10)),
            ),
        },
        further={
            "blocks": FurtherStatistic(0.6, 0.9, follows="rebounds", r=0.35),
            "turnovers": FurtherStatistic(1.9, 1.5, follows="assists", r=0.4),
            "fouls": FurtherStatistic(2.2, 1.5),
            "field_goals_made": FurtherStatistic(5.8, 3, follows="points", r=0.85),
            "field_goals_attempted": FurtherStatistic(6.5, 3, on_top_of="field_goals_made"),
            "threes_attempted": FurtherStatistic(3, 2, on_top_of="threes"),
            "free_throws_made": FurtherStatistic(2.2, 2.2, follows="points", r=0.5),
            "free_throws_attempted": FurtherStatistic(0.6, 0.9, on_top_of="free_throws_made"),
            "offensive_rebounds": FurtherStatistic(1.4, 1.4, follows="rebounds", r=0.6),
            "defensive_rebounds": FurtherStatistic(4.6, 2.8, follows="rebounds", r=0.8),
        },
        positions={"LeBron James": "F", "Luka Doncic": "G"},
    ),
    "MLB": Season(
        rounds=56,
        every_days=1,
        groups={
            "C": PositionGroup(
                1,
                {
                    "hits": (0.9, 1),
                    "runs": (0.5, 0.75),
                    "rbis": (0.6, 0.85),
                    "home_runs": (0.3, 0.56),
                    "strikeouts": (1, 1.02),
                },
                ((0.50,), (0.50, 0.45), (0.25, 0.30, 0.40), (-0.15, -0.10, -0.08, 0)),
            ),
            "IF": PositionGroup(
                4,
                {
                    "hits": (1.1, 1.08),
                    "runs": (0.8, 0.95),
                    "rbis": (0.6, 0.85),
                    "home_runs": (0.3, 0.56),
                    "strikeouts": (0.9, 0.97),
                },
                ((0.82,), (0.50, 0.45), (0.25, 0.30, 0.40), (-0.15, -0.12, -0.08, 0)),
            ),
            "OF": PositionGroup(
                3,
                {
                    "hits": (1, 1.02),
                    "runs": (0.65, 0.85),
                    "rbis": (0.65, 0.85),
                    "home_runs": (0.4, 0.65),
                    "strikeouts": (1, 1.02),
                },
                ((0.45,), (0.45, 0.40), (0.30, 0.35, 0.77), (-0.15, -0.12, -0.05, 0.05)),
            ),
            "DH": PositionGroup(
                1,
                {
                    "hits": (1, 1.02),
                    "runs": (0.6, 0.8),
                    "rbis": (0.7, 0.88),
                    "home_runs": (0.45, 0.7),
                    "strikeouts": (1.2, 1.15),
                },
                ((0.50,), (0.50, 0.45), (0.30, 0.35, 0.45), (0.20, 0.25, 0.35, 0.76)),
            ),
        },
        further={
            "walks": FurtherStatistic(0.4, 0.65),
            "total_bases": FurtherStatistic(0.7, 1.2, on_top_of="hits"),
            "stolen_bases": FurtherStatistic(0.1, 0.34, follows="runs", r=0.2),
            "doubles": FurtherStatistic(0.22, 0.48, follows="hits", r=0.4),
            "at_bats": FurtherStatistic(2.8, 0.9, on_top_of="hits"),
        },
        positions={"Aaron Judge": "OF", "Mookie Betts": "OF", "Cal Raleigh": "C", "Shohei Ohtani": "DH"},
    ),
    "NFL": Season(
        rounds=25,
        every_days=7,
        groups={
            "QB": PositionGroup(
                3,
                {"passing_yards": (235, 75), "rushing_yards": (20, 13), "touchdowns": (0.3, 0.56), "sacks": (2.4, 1.6)},
                ((-0.10,), (0.05, 0.40), (0.78, -0.05, 0.02)),
            ),
            "RB": PositionGroup(
                6,
                {"rushing_yards": (55, 25), "touchdowns": (0.6, 0.8), "receptions": (2.4, 1.65)},
                ((0.73,), (0.76, 0.45)),
            ),
            "WR": PositionGroup(
                7,
                {"rushing_yards": (3, 4), "touchdowns": (0.4, 0.65), "receptions": (4.3, 2.3)},
                ((0.10,), (0.10, 0.50)),
            ),
            "TE": PositionGroup(4, {"touchdowns": (0.3, 0.58), "receptions": (3.2, 2.2)}, ((0.45,),)),
        },
        further={
            "completions": FurtherStatistic(22, 6, follows="passing_yards", r=0.8, groups=("QB",)),
            "attempts": FurtherStatistic(12, 4.5, on_top_of="completions", groups=("QB",)),
            "interceptions": FurtherStatistic(0.8, 0.95, groups=("QB",)),
        },
        positions={"Josh Allen": "QB", "Patrick Mahomes": "QB"},
    ),
    "NHL": Season(
        rounds=50,
        every_days=2,
        groups={
            "F": PositionGroup(
                6,
                {
                    "goals": (0.35, 0.61),
                    "assists": (0.5, 0.73),
                    "shots": (2.6, 1.7),
                    "hits": (1.4, 1.3),
                    "blocked_shots": (0.7, 0.88),
                },
                ((0.20,), (0.72, 0.25), (0.05, 0.02, 0.10), (-0.05, 0, -0.08, 0.15)),
            ),
            "D": PositionGroup(
                4,
                {
                    "goals": (0.2, 0.46),
                    "assists": (0.45, 0.69),
                    "shots": (1.8, 1.4),
                    "hits": (1.5, 1.35),
                    "blocked_shots": (1.6, 1.35),
                },
                ((0.10,), (0.30, 0.20), (0.02, 0, 0.05), (-0.05, -0.05, -0.10, 0.71)),
            ),
        },
        further={},
    ),
}
