"""Loaded by pytest before all else, tests.environment included, which otherwise takes the servers of `make run`."""

from tests.servers import start

start()
