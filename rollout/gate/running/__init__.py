"""The candidates and probes that run now: in the pools of their rollouts, or because they serve."""
