"""The checks that come with Slipway.

Each module registers its checks when it is imported. A suite runs them in the order of registration.
"""

from importlib import import_module

MODULES = ("database", "fleet", "caches", "system", "imports", "integrity", "extended", "recovery", "rollback")


def load_checks() -> None:
    """Import the modules in their order, which registers the checks."""
    for name in MODULES:
        import_module(f"validation.checks.{name}")
