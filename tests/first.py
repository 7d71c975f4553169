"""The start of the tests' own servers. pytest loads it first: tests.environment would use those of `make run`."""

import gc

from tests.servers import start

# The suite makes millions of short-lived objects and few cycles. Rarer collections take a tenth off its time.
gc.set_threshold(200_000, 20, 50)
start()
