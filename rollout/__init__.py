"""New ways of serving: brought live in guarded stages, judged, and taken back."""
