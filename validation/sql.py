"""The statements of validation, and the reason that the ORM was not enough for each."""

# --- The runner ---

# Settings of one transaction, which the ORM cannot set. A check that hangs between two statements does not keep an old
# view of the database open.
LIMIT_TIME = """
SELECT set_config('statement_timeout', %(statement_ms)s::text, true),
       set_config('idle_in_transaction_session_timeout', %(idle_ms)s::text, true)"""

# --- Storing runs ---

# Two runs that end at the same time must not both notify of the same check, and the ORM has no advisory locks.
STORE_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('validation'))"

# --- checks/schema, checks/database: the catalogue, which has no models ---

COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
UNVALIDATED_CONSTRAINTS_OF = "SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(%s) AND NOT convalidated"
INVALID_INDEXES_OF = """
SELECT cls.relname FROM pg_index idx JOIN pg_class cls ON cls.oid = idx.indexrelid
 WHERE idx.indrelid = to_regclass(%s) AND NOT idx.indisvalid"""
REFERENCES = """
SELECT attname, confrelid::regclass::text
  FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
 WHERE conrelid = to_regclass(%s) AND contype = 'f'"""
UNVALIDATED_CONSTRAINTS = """
SELECT conrelid::regclass || ': ' || conname FROM pg_constraint
 WHERE NOT convalidated AND connamespace = current_schema()::regnamespace ORDER BY 1"""
INVALID_INDEXES = """
SELECT indrelid::regclass || ': ' || indexrelid::regclass FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
 WHERE NOT (indisvalid AND indisready) AND relnamespace = current_schema()::regnamespace ORDER BY 1"""
# The planner's estimate of a table's rows, less than 0 if it was never analyzed. No row means no table.
ESTIMATED_ROWS = "SELECT reltuples FROM pg_class WHERE oid = to_regclass(%s)"

# --- checks/database: tables whose columns may be missing, so that the ORM could not read them ---

ORPHANS = """
SELECT count(*) FROM {table} child WHERE child.{column} IS NOT NULL
   AND NOT EXISTS (SELECT FROM {target} parent WHERE parent.{key} = child.{column})"""
# The planner is made to read the table itself, or its index, which the ORM cannot ask for.
SET_SCAN = "SELECT set_config(%s, %s, true)"
COUNT_BY_KEY = "SELECT count(*) FROM {table} WHERE {key} > 0"

# --- checks/integrity ---

# The rows of a broken foreign key, which the ORM's joins would leave out.
STATES_WITHOUT_PARENT = """
SELECT id, provider_name, sport FROM provider_states state
 WHERE NOT EXISTS (SELECT FROM providers_sport WHERE code = state.sport)
    OR NOT EXISTS (SELECT FROM providers_provider WHERE name = state.provider_name) ORDER BY id"""
# Plain tuples, because a full run reads every entry, and model instances would take several times as long.
ENTRIES = "SELECT id, cache_key, cache_type, data_json, data_hash FROM portfolio_rationales"
ALL_ENTRIES = f"{ENTRIES} WHERE id > %(after)s ORDER BY id LIMIT %(limit)s"
# TABLESAMPLE has no word in the ORM.
SAMPLED_ENTRIES = f"{ENTRIES} TABLESAMPLE SYSTEM (%(percent)s)"
# An entry that changed after a moment has its soft expiry after that moment too, and that column has an index.
CHANGED_ENTRIES = f"""{ENTRIES} WHERE soft_expires_at > %(since)s AND updated_at > %(since)s AND id > %(after)s
 ORDER BY id LIMIT %(limit)s"""

# --- checks/system: on a connection of the check's own, which the ORM cannot use ---

LIMIT_LOCK_WAIT = "SET LOCAL lock_timeout = '2s'"
WRITE_PROBE = "INSERT INTO validation_validationrun (category) VALUES ('a probe') RETURNING id, category"
READ_PROBE = "SELECT id, category FROM validation_validationrun WHERE id = %s"

# --- checks/extended: the database's clock ---

CLOCK_SECONDS = "SELECT extract(epoch FROM clock_timestamp())::float8"
# The moment of the view that all checks of the run share.
VIEW_MOMENT = "SELECT now()"

# --- checks/rollback: tables by name, some of them in a quarantine schema, for which no model exists ---

TABLE_EXISTS = "SELECT to_regclass(%s) IS NOT NULL"
HAS_ROWS = "SELECT EXISTS (SELECT FROM {table})"
