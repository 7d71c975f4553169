"""PrizePicks' board of player lines, as JSON:API: `data`, `included`, and relationships between them.

The API is unofficial: it may change at any time, and its terms may forbid its use, so it is disabled by default. One
call returns a thousand lines. The API sends no price and no side, and does not show which team is at home.
"""

from msgspec import Struct, field

from providers.adapters import Upstream
from providers.adapters.fields import Id, Moment, Name
from providers.upstream.caller import Caller
from providers.upstream.messages import Answer, Claim, Game, Line, distinct

LEAGUES = {"MLB": "2", "NBA": "7", "NFL": "9", "NHL": "8"}
BOOKMAKER = "prizepicks"
PAGES = 5  # of a thousand lines each; a league has had some hundred lines
LONGEST_NAME = 100  # characters of the column of a team


class Reference(Struct):
    type: Id
    id: Id


class Relationship(Struct):
    data: Reference | None = None


class Relationships(Struct):
    new_player: Relationship


class ProjectionAttributes(Struct):
    line_score: float
    stat_type: Id
    start_time: Moment
    game_id: Id | None = None
    description: Name | None = None  # the other team


class Projection(Struct):
    id: Id
    attributes: ProjectionAttributes
    relationships: Relationships


class PlayerAttributes(Struct):
    name: Name | None = None
    team: Name | None = None
    combo: bool | None = None  # two players of two teams together


class IncludedItem(Struct):
    type: Id
    id: Id
    attributes: PlayerAttributes = field(default_factory=PlayerAttributes)


class BoardMeta(Struct):
    total_pages: int = 1


class PrizePicksBoard(Struct):
    data: list[Projection]
    included: list[IncludedItem]
    meta: BoardMeta = field(default_factory=BoardMeta)


async def poll(claim: Claim, caller: Caller) -> Answer:
    """Request a league's board, page by page. Raises CallFailed."""
    params = {"league_id": LEAGUES[claim.sport], "per_page": "1000", "single_stat": "true"}
    board = await caller.get("/projections", params, PrizePicksBoard)
    for number in range(2, min(board.meta.total_pages, PAGES) + 1):
        page = await caller.get("/projections", params | {"page": str(number)}, PrizePicksBoard)
        board.data += page.data
        board.included += page.included
    return to_answer(board)


def to_answer(board: PrizePicksBoard) -> Answer:
    """Return the board's games and lines. A board with more than PAGES pages covers no game: lines may be missing."""
    players = {item.id: item.attributes for item in board.included if item.type == "new_player"}
    games: dict[str, Game] = {}
    lines = []
    for projection in board.data:
        offer, reference = projection.attributes, projection.relationships.new_player.data
        player = PlayerAttributes()
        name = f"projection {projection.id}"
        if reference:
            player = players.get(reference.id, player)
            name = f"player {reference.id}"
        if offer.game_id:
            _add_game(games, offer.game_id, offer, player)
        lines.append(
            Line(
                event=offer.game_id or "",
                bookmaker=BOOKMAKER,
                market=offer.stat_type,
                player=player.name or name,
                side="",
                point=offer.line_score,
                price=None,
            )
        )
    is_whole = board.meta.total_pages <= PAGES
    covered = frozenset(games) if is_whole else frozenset()
    return Answer(
        games=tuple(games.values()),
        lines=distinct(lines),
        listed=covered,
        player_offered=covered,
        has_gameless=is_whole and any(not line.event for line in lines),
    )


def _add_game(games: dict[str, Game], id: str, offer: ProjectionAttributes, player: PlayerAttributes) -> None:
    """Keep the game's earliest start, and its teams as soon as the line of a single player names both."""
    teams = ""
    if player.team and offer.description and not player.combo:
        teams = " v ".join(sorted((player.team, offer.description)))[:LONGEST_NAME]
    game = games.get(id, Game(id, teams, "", offer.start_time))
    games[id] = Game(id, game.home_team or teams, "", min(game.starts_at, offer.start_time))


UPSTREAM = Upstream(LEAGUES, poll)
