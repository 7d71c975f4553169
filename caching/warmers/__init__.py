"""What the caches hold, computed from box scores: pure functions of arrays, one module per type."""
