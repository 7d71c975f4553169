"""The way back: snapshots, restores, and three levels of rollback."""
