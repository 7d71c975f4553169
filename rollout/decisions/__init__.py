"""Pure decisions: verdicts of the guards, and the next step of a stage."""
