"""The formulas: pure functions from box scores to a payload with its confidence."""
