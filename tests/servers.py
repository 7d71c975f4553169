"""PostgreSQL and Redis for the tests alone, because a crash in the middle of the tests could harm those of `make run`.

The databases of the tests are in memory if the machine has some: there a copy of one takes 30 ms, and on a disk 400 to
600 ms, since each of its 700 files is made and deleted again.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import quote

from config.embedded import lifecycle
from config.embedded.clean import MEMORY
from config.embedded.location import EmbeddedError, location_of
from config.embedded.server_commands import DATABASE, ROLE

VAR = Path(__file__).resolve().parent.parent / "var" / "tests"
TABLESPACE_VARIABLE = "SLIPWAY_TEST_TABLESPACE"  # the environment variable that names it to the workers of this run


def start() -> None:
    """Start the servers, unless DATABASE_URL names others or this is a worker of a run that started them."""
    if os.environ.get("DATABASE_URL"):
        return
    VAR.mkdir(parents=True, exist_ok=True)
    try:
        lifecycle.ensure(VAR)
    except EmbeddedError:  # the folder holds test data only, so it is made once more
        shutil.rmtree(location_of(VAR).home, ignore_errors=True)
        lifecycle.ensure(VAR)
    location = location_of(VAR)
    os.environ["DATABASE_URL"] = f"postgres://{ROLE}@{quote(str(location.sockets), safe='')}/{DATABASE}"
    os.environ["REDIS_URL"] = lifecycle.redis_url(VAR)
    os.environ[TABLESPACE_VARIABLE] = in_memory(str(location.sockets), location.user)


def in_memory(sockets: str, user: str | None) -> str:
    """Make a tablespace in memory if there is none. Return its name, or "" if no folder in memory can be written."""
    import psycopg

    folder, name = MEMORY / Path(sockets).name, "memory"
    if not os.access(MEMORY, os.W_OK):
        return ""
    with psycopg.connect(host=sockets, user="postgres", dbname="postgres", autocommit=True) as superuser:
        exists = superuser.execute("SELECT 1 FROM pg_tablespace WHERE spcname = %s", [name]).fetchone() is not None
        if exists and not folder.exists():  # the machine was started again
            superuser.execute(f"DROP TABLESPACE {name}")
            exists = False
        if not exists:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            if user:
                shutil.chown(folder, user)
            superuser.execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'")
            superuser.execute(f"GRANT CREATE ON TABLESPACE {name} TO {ROLE}")
    return name
