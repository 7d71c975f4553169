"""The statements written by hand, and why the ORM was not enough."""

# One pass over a sport's box scores; the columns are numbers before they leave the database. Stub rows count only while
# a sport has no others.
READ_GAMES = """
SELECT source, player, position, played_on, {columns}
  FROM providers_gamelog
 WHERE sport = %(sport)s AND (source = 'stub') = NOT EXISTS (
       SELECT FROM providers_gamelog WHERE sport = %(sport)s AND source <> 'stub')
 ORDER BY played_on, game_number, game, player_id"""
COUNT = "(stats ->> '{statistic}')::float8"
