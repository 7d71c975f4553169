"""The proof of the state: checks, their runner, suites and reports."""
