"""The start of the tests' own servers. pytest loads it first: tests.environment would use those of `make run`."""

from tests.servers import start

start()
