"""What polling passes around: the claim of a slot, what was asked, what came back. Values only."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from providers.choices import Outcome
from providers.fleet.health import Ended

PLAYERS_AHEAD = timedelta(hours=36)  # books open player lines about a day before the game


@dataclass(frozen=True, slots=True)
class Claim:
    """A slot that this worker may poll until its lease ends; `fence` proves it when the answer is stored."""

    slot: int
    fence: int
    adapter: str
    base_url: str  # empty: the stub feed
    credential_env: str
    sport: str
    timeout_seconds: int
    max_retries: int
    requests_per_minute: int  # of the whole account
    deadline: datetime
    due_in_seconds: float
    members: dict[str, int]  # provider name to id of its state
    claimed_at: float = 0.0  # of this process's monotonic clock

    @property
    def account(self) -> str:
        """What an upstream bills and limits."""
        return f"{self.adapter} {self.base_url} {self.credential_env}"

    @property
    def name(self) -> str:
        """The slot's, the same wherever it is claimed."""
        return f"{self.account} {self.sport}"

    @property
    def source(self) -> str:
        """Where its events come from; real and made-up ones never share a row."""
        return self.adapter if self.base_url else "stub"


@dataclass(frozen=True, slots=True)
class Call:
    """One upstream call."""

    path: str  # without the query, which may hold a key
    started_at: datetime
    duration_ms: float
    outcome: Outcome
    http_status: int | None = None
    message: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Game:
    id: str
    home_team: str
    away_team: str
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class Line:
    event: str  # the game's id; empty for a line of no single game
    bookmaker: str
    market: str
    player: str  # empty for a game's own markets
    side: str  # empty where there is but one
    point: float | None
    price: float | None  # None: the upstream sends none

    @property
    def identity(self) -> tuple[str, str, str, str, str, float | None]:
        return self.event, self.bookmaker, self.market, self.player, self.side, self.point


@dataclass(frozen=True, slots=True)
class Answer:
    """What the good calls of one poll said, and what they spoke of: only that can have disappeared.

    listed: games of a list that held some. offered: those listed with bookmakers. player_offered: those whose own
    answer held player lines. has_gameless: it holds all lines of no single game that there are.
    """

    games: tuple[Game, ...] = ()
    lines: tuple[Line, ...] = ()
    listed: frozenset[str] = frozenset()
    offered: frozenset[str] = frozenset()
    player_offered: frozenset[str] = frozenset()
    has_gameless: bool = False


@dataclass(frozen=True, slots=True)
class Quota:
    """What the upstream said of the account's credits: those left, and what this poll cost."""

    left: float
    cost: float


@dataclass(frozen=True, slots=True)
class Poll:
    """The whole of one poll. It is good when the list of games came, whatever single games' calls said.

    problem: why no call was made, or the first call that failed; empty when all is well. pause_seconds: when throttled,
    for how long the upstream wants no call.
    """

    calls: tuple[Call, ...] = ()
    answer: Answer = field(default_factory=Answer)
    problem: str = ""
    is_good: bool = False
    late_ms: float = 0.0
    pause_seconds: float | None = None
    quota: Quota | None = None

    @property
    def ended(self) -> Ended:
        if self.is_good:
            return Ended.GOOD
        return Ended.FAILED if self.pause_seconds is None else Ended.THROTTLED


def distinct(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Books send the same outcome twice now and then; the first counts."""
    first: dict[tuple[str, str, str, str, str, float | None], Line] = {}
    for line in lines:
        first.setdefault(line.identity, line)
    return tuple(first.values())
