"""HTTP for several apps: tokens, entity tags, errors, and calls to addresses of the operator."""
