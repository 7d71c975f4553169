"""PostgreSQL and Redis of the tests' own, apart from those of `make run`, whose data a crash in the middle of the tests
could otherwise harm.

The databases that tests are given lie in memory where there is some: a copy of one takes 30 ms there, and on a disk
400 to 600, as each of its 700 files is made and taken away again.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import quote

from config.embedded import lifecycle
from config.embedded.clean import MEMORY
from config.embedded.location import EmbeddedError, place_of
from config.embedded.servers import DATABASE, ROLE

VAR = Path(__file__).resolve().parent.parent / "var" / "tests"
USED = "SLIPWAY_TEST_TABLESPACE"  # by the workers of this run


def start() -> None:
    """Unless there are servers elsewhere, or this is a worker of a run that started them."""
    if os.environ.get("DATABASE_URL"):
        return
    VAR.mkdir(parents=True, exist_ok=True)
    try:
        lifecycle.ensure(VAR)
    except EmbeddedError:  # nothing in it is worth keeping
        shutil.rmtree(place_of(VAR).home, ignore_errors=True)
        lifecycle.ensure(VAR)
    place = place_of(VAR)
    os.environ["DATABASE_URL"] = f"postgres://{ROLE}@{quote(str(place.sockets), safe='')}/{DATABASE}"
    os.environ["REDIS_URL"] = lifecycle.redis_url(VAR)
    os.environ[USED] = in_memory(str(place.sockets), place.user)


def in_memory(sockets: str, user: str | None) -> str:
    """The tablespace's name; empty where there is no memory to be had."""
    import psycopg

    folder, name = MEMORY / Path(sockets).name, "memory"
    if not os.access(MEMORY, os.W_OK):
        return ""
    with psycopg.connect(host=sockets, user="postgres", dbname="postgres", autocommit=True) as superuser:
        found = superuser.execute("SELECT 1 FROM pg_tablespace WHERE spcname = %s", [name]).fetchone()
        if found and not folder.exists():  # the machine was started again
            superuser.execute(f"DROP TABLESPACE {name}")
            found = None
        if not found:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            if user:
                shutil.chown(folder, user)
            superuser.execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'")
            superuser.execute(f"GRANT CREATE ON TABLESPACE {name} TO {ROLE}")
    return name
