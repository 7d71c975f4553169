"""Game logs: one box score per player and game, from files and from the stub feed."""
