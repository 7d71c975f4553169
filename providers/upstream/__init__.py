"""The calls to an upstream: addresses that are allowed, limits of the account, retries, and what an adapter returns."""
