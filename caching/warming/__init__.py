"""Computing values ahead of their readers: leases, box scores, storing, and warm-ups that operators request."""
