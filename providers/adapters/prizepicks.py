"""PrizePicks' board of player lines, as JSON:API: `data`, `included`, and relationships between them.

Unofficial: nobody promises that it stays as it is, and its terms may forbid it. Hence disabled by default. One call
brings a thousand lines. It sends no price and no side, and does not tell which team is at home.
"""

from datetime import datetime

from msgspec import Struct, field

from providers.adapters.fields import Id, Moment, Name
from providers.polling.caller import Caller
from providers.polling.messages import Answer, Claim, Game, Line, distinct

LEAGUES = {"MLB": "2", "NBA": "7", "NFL": "9", "NHL": "8"}
BOOKMAKER = "prizepicks"
PAGES = 5  # of a thousand lines; a league has had some hundred


class Reference(Struct):
    type: Id
    id: Id


class Relationship(Struct):
    data: Reference | None = None


class Relationships(Struct):
    new_player: Relationship


class Offer(Struct):
    line_score: float
    stat_type: Id
    start_time: Moment
    game_id: Id | None = None
    description: Name | None = None  # the other team


class Projection(Struct):
    id: Id
    attributes: Offer
    relationships: Relationships


class About(Struct):
    name: Name | None = None
    team: Name | None = None
    combo: bool | None = None  # two players together, of two teams


class Included(Struct):
    type: Id
    id: Id
    attributes: About = field(default_factory=About)


class Meta(Struct):
    total_pages: int = 1


class Board(Struct):
    data: list[Projection]
    included: list[Included]
    meta: Meta = field(default_factory=Meta)


async def poll(claim: Claim, caller: Caller) -> Answer:
    """Ask for a league's board, page by page. Raises CallFailed."""
    params = {"league_id": LEAGUES[claim.sport], "per_page": "1000", "single_stat": "true"}
    whole = await caller.get("/projections", params, Board)
    for page in range(2, min(whole.meta.total_pages, PAGES) + 1):
        more = await caller.get("/projections", params | {"page": str(page)}, Board)
        whole.data += more.data
        whole.included += more.included
    return read(whole)


def read(board: Board) -> Answer:
    players = {item.id: item.attributes for item in board.included if item.type == "new_player"}
    games: dict[str, Game] = {}
    lines = []
    for projection in board.data:
        offer, reference = projection.attributes, projection.relationships.new_player.data
        about = players.get(reference.id, About()) if reference else About()
        if offer.game_id:
            _note(games, offer.game_id, offer, about)
        name = about.name or (f"player {reference.id}" if reference else f"projection {projection.id}")
        lines.append(Line(offer.game_id or "", BOOKMAKER, offer.stat_type, name, "", offer.line_score, None))
    is_whole = board.meta.total_pages <= PAGES  # else nothing can be said of what is missing
    named = frozenset(games) if is_whole else frozenset()
    has_gameless = is_whole and any(not line.event for line in lines)
    return Answer(tuple(games.values()), distinct(lines), named, player_offered=named, has_gameless=has_gameless)


def _note(games: dict[str, Game], id: str, offer: Offer, about: About) -> None:
    """The game's earliest start, and its teams once a single player names both."""
    teams = "" if about.combo or not (about.team and offer.description) else " v ".join(_pair(about, offer))
    known = games.get(id, Game(id, teams[:100], "", offer.start_time))
    start: datetime = min(known.starts_at, offer.start_time)
    games[id] = Game(id, known.home_team or teams[:100], "", start)


def _pair(about: About, offer: Offer) -> list[str]:
    return sorted((about.team or "", offer.description or ""))
