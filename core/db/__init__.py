"""PostgreSQL mechanisms that several apps need: leases, batches, shared views and append-only tables."""
