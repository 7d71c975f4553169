"""Notices to operators, and the channels that deliver them."""
