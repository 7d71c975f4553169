"""The three tiers of a cached value: the memory of a process, Redis, and the row in PostgreSQL."""
