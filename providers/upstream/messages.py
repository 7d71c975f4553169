"""The values that polling passes around: the claim of a slot, the calls that were made, and the answer."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from providers.choices import PollOutcome
from providers.fleet.health import PollResult

PLAYERS_AHEAD = timedelta(hours=36)  # bookmakers open player lines about a day before the game


@dataclass(frozen=True, slots=True)
class Claim:
    """A slot that this worker may poll until its lease ends. `fence` proves the claim when the answer is stored."""

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
    members: dict[str, int]  # provider name to the id of its state
    claimed_at: float = 0.0  # seconds of this process's monotonic clock

    @property
    def account(self) -> str:
        """The name of what an upstream bills and limits."""
        return f"{self.adapter} {self.base_url} {self.credential_env}"

    @property
    def name(self) -> str:
        """The slot's name, the same in every process."""
        return f"{self.account} {self.sport}"

    @property
    def source(self) -> str:
        """The source of its events. Real and synthetic events never share a row."""
        return self.adapter if self.base_url else "stub"


@dataclass(frozen=True, slots=True)
class Call:
    """The record of one upstream call."""

    path: str  # without the query, which may hold a key
    started_at: datetime
    duration_ms: float
    outcome: PollOutcome
    http_status: int | None = None
    message: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Game:
    id: str
    home_team: str
    away_team: str
    starts_at: datetime


LineIdentity = tuple[str, str, str, str, str, float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """A betting line: one side of one market at a bookmaker."""

    event: str  # the game's id; empty for a line of no single game
    bookmaker: str
    market: str
    player: str  # empty for a game's own markets
    side: str  # empty if there is only one
    point: float | None
    price: float | None  # None: the upstream sends no price

    @property
    def identity(self) -> LineIdentity:
        return self.event, self.bookmaker, self.market, self.player, self.side, self.point


@dataclass(frozen=True, slots=True)
class Answer:
    """The content of the good calls of one poll, and what they cover. Only a line that is covered can be removed.

    listed: the games of a list that was not empty.
    offered: the listed games that have bookmakers.
    player_offered: the games whose own answer held player lines.
    has_gameless: the answer holds all existing lines of no single game.
    """

    games: tuple[Game, ...] = ()
    lines: tuple[Line, ...] = ()
    listed: frozenset[str] = frozenset()
    offered: frozenset[str] = frozenset()
    player_offered: frozenset[str] = frozenset()
    has_gameless: bool = False


@dataclass(frozen=True, slots=True)
class Quota:
    """The upstream's figures on the account's credits: how many are left, and how many this poll cost."""

    left: float
    cost: float


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll with all its calls. It is good if the list of games came, even if calls for single games failed.

    problem: why no call was made, or the message of the first call that failed; empty if all calls succeeded.
    pause_seconds: if the upstream throttled the account, how long it wants no call.
    """

    calls: tuple[Call, ...] = ()
    answer: Answer = field(default_factory=Answer)
    problem: str = ""
    is_good: bool = False
    late_ms: float = 0.0
    pause_seconds: float | None = None
    quota: Quota | None = None

    @property
    def result(self) -> PollResult:
        if self.is_good:
            return PollResult.GOOD
        return PollResult.FAILED if self.pause_seconds is None else PollResult.THROTTLED


def distinct(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return each line once. If a bookmaker sends the same outcome twice, the first one counts."""
    first: dict[LineIdentity, Line] = {}
    for line in lines:
        first.setdefault(line.identity, line)
    return tuple(first.values())
