"""The statements that the shared ground runs, and the reason that the ORM was not enough for each."""

# FOR SHARE has no word in the ORM: many may work at the same time, and an operator who switches the part off waits for
# them.
HOLD_PART = "SELECT is_on FROM rollout_activation WHERE part = %s FOR SHARE"

# The logs have no other handle on their oldest rows than the row's place, and SKIP LOCKED lets two workers prune side
# by side.
PRUNE = """
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
       SELECT ctid FROM {table} WHERE {column} < now() - make_interval(days => %(days)s)
        LIMIT %(batch)s FOR UPDATE SKIP LOCKED))"""

# The planner's estimate costs nothing; counting a hundred million rows takes minutes.
ESTIMATED_ROWS = "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass"

# The local flag is read by the triggers of append-only tables.
ALLOW_REWRITE = "SELECT set_config(%s, 'on', true)"

# One snapshot of the database for all statements of a transaction, which the ORM cannot ask for.
ONE_VIEW = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
EXPORT_VIEW = "SELECT now(), pg_export_snapshot()"
ADOPT_VIEW = "SET TRANSACTION SNAPSHOT '{name}'"

# SKIP LOCKED lets a second worker claim the next rows instead of waiting for the first one.
CLAIM = """
WITH free AS MATERIALIZED ({candidates} FOR UPDATE OF {alias} SKIP LOCKED)
UPDATE {table} {alias} SET lease_until = now() + {length}, fence = {alias}.fence + 1
  FROM free WHERE {alias}.id = free.id RETURNING {alias}.id, {alias}.fence{returning}"""
HOLD = "SELECT FROM {table} WHERE id = %(id)s AND fence = %(fence)s FOR UPDATE"
RENEW = """
UPDATE {table} SET lease_until = now() + make_interval(secs => %(lease_seconds)s)
 WHERE id = %(id)s AND fence = %(fence)s"""
RELEASE = "UPDATE {table} SET lease_until = NULL WHERE id = %(id)s AND fence = %(fence)s"
