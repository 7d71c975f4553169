"""The control loop: measures each rollout every few seconds, judges it, and moves it."""
