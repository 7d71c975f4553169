"""The admin's theme; no other file imports it."""
