"""Putting rows back from a snapshot or from the quarantine."""
