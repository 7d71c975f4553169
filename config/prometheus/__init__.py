"""The figures of the site for Prometheus: all parts put together, and those that belong to no app."""
