"""The feeds of odds providers, and the box scores of the games."""
