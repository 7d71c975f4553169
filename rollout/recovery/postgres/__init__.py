"""PostgreSQL as recovery needs it: statements, locks, and the shape of tables."""
