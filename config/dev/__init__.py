"""A checkout on a fresh machine: installing the locked dependencies, and `make run`."""
