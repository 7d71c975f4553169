"""The hand-written statements of `core`, each with the reason that the ORM was not enough."""

# The ORM has no FOR SHARE. With it many transactions may work at the same time, and an operator who switches the part
# off waits until they end.
HOLD_PART = "SELECT is_on FROM rollout_activation WHERE part = %s FOR SHARE"

# The ORM cannot delete a limited number of rows. The rows of any table can be named by their ctid. SKIP LOCKED
# lets two workers prune the same table at the same time.
PRUNE = """
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
       SELECT ctid FROM {table} WHERE {column} < now() - make_interval(days => %(days)s)
        LIMIT %(batch)s FOR UPDATE SKIP LOCKED))"""

# The ORM has no access to the planner's estimate. Counting a hundred million rows takes minutes.
ESTIMATED_ROWS = "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass"

# The bodies of the triggers of append-only tables. The ORM has no triggers.
REFUSE_REWRITE = "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';"
REFUSE_UPDATE = "IF current_setting('{flag}', true) = 'on' THEN  RETURN NEW; END IF; {refuse}"
REFUSE_DELETE = (
    "IF current_setting('{flag}', true) = 'on' THEN  RETURN OLD; END IF;"
    " IF OLD.{column} < now() - interval '{days} days' THEN RETURN OLD; END IF; {refuse}"
)
REFUSE_TRUNCATE = "IF current_setting('{flag}', true) = 'on' THEN  RETURN NULL; END IF; {refuse}"

# The ORM cannot set a parameter. The triggers of append-only tables read this one; it ends with the transaction.
ALLOW_REWRITE = "SELECT set_config(%s, 'on', true)"

# The ORM cannot set a transaction's isolation level, nor export or adopt a snapshot.
ONE_VIEW = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
EXPORT_VIEW = "SELECT now(), pg_export_snapshot()"
ADOPT_VIEW = "SET TRANSACTION SNAPSHOT '{name}'"

# The condition that no worker holds a lease on the row, and the length of a lease that a parameter gives in seconds.
IS_FREE = "({alias}.lease_until IS NULL OR {alias}.lease_until < now())"
LEASE_LENGTH = "make_interval(secs => %(lease_seconds)s)"

# The ORM has no UPDATE ... RETURNING. SKIP LOCKED lets a second worker claim the next rows instead of waiting for the
# first one.
CLAIM = """
WITH free AS MATERIALIZED ({candidates} FOR UPDATE OF {alias} SKIP LOCKED)
UPDATE {table} {alias} SET lease_until = now() + {length}, fence = {alias}.fence + 1
  FROM free WHERE {alias}.id = free.id RETURNING {alias}.id, {alias}.fence{returning}"""
# These act only under the fence of the claim, in one round trip: if another worker claimed the row since, they find no
# row.
HOLD = "SELECT FROM {table} WHERE id = %(id)s AND fence = %(fence)s FOR UPDATE"
RENEW = f"""
UPDATE {{table}} SET lease_until = now() + {LEASE_LENGTH}
 WHERE id = %(id)s AND fence = %(fence)s"""
RELEASE = "UPDATE {table} SET lease_until = NULL WHERE id = %(id)s AND fence = %(fence)s"

# The ORM has no settings of a transaction. Return the old value, and set the new one until the transaction, or the
# savepoint that is rolled back, ends.
LIMIT_LOCK_WAITS = "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)"
