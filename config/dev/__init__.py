"""A fresh machine: installing the locked dependencies of a checkout, and `make run`."""
