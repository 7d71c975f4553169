"""Answers to consumers: through the gate, over HTTP, and as a load test."""
