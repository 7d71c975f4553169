"""The observations of a rollout's arms, and their sums."""
