"""The checks that come with Slipway. Importing a module registers its checks, in the order of the suites."""

from importlib import import_module

MODULES = ("database", "fleet", "caches", "system", "imports", "integrity", "extended", "recovery", "rollback")


def register() -> None:
    for name in MODULES:
        import_module(f"validation.checks.{name}")
