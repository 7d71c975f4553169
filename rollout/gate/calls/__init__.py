"""The course of one call of a gate: which functions run, how their outcomes are compared, and what is counted."""
