"""The levels of rollback: their steps, the way back from them, and rehearsals."""
