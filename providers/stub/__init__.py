"""A synthetic upstream for machines without credentials: odds and a season of box scores."""
