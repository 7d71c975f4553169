"""The fleet of feeds: its catalogue, backfill and health."""
