"""Snapshots: written, listed, verified and pruned."""
