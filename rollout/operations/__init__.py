"""The verbs of a rollout, each with its permission, change and audit row."""
