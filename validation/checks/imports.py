"""The category model-imports: the models have the names that others import, and the migrations are complete."""

import logging
from importlib import import_module
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.questioner import NonInteractiveMigrationQuestioner
from django.db.migrations.state import ProjectState

from core.health_checks import Finding, Result, View, check, judged
from validation.checks.database import BUILT_IN_APPS
from validation.checks.schema import column_differences

CATEGORY = "model-imports"
MIGRATE = "run: manage.py migrate"
REINSTALL = "install this release again; its files are incomplete"
log = logging.getLogger("slipway.validation")


@check("import_ProviderState", CATEGORY)
def import_provider_state(view: View) -> Finding:
    """Import providers.models.ProviderState, and compare its columns with its table. Limit: 0 differences."""
    return _import("providers.models", "ProviderState", "ProviderState", view)


@check("import_PortfolioRationale", CATEGORY)
def import_portfolio_rationale(view: View) -> Finding:
    """Import caching.models.PortfolioRationale, and compare its columns with its table. Limit: 0 differences.

    The name is an alias of CacheEntry.
    """
    return _import("caching.models", "PortfolioRationale", "CacheEntry", view)


def _import(module: str, name: str, model_name: str, view: View) -> Finding:
    try:
        model: type[models.Model] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        message = f"cannot import {module}.{name}: {error}"
        return Finding(Result.FAIL, "not importable", f"{module}.{name}", message, REINSTALL)
    if model is not getattr(import_module(module), model_name):
        message = f"{module}.{name} is the model {model.__name__}, not {model_name}"
        return Finding(Result.FAIL, model.__name__, model_name, message, REINSTALL)
    differences = column_differences(model, view)
    message = f"{module}.{name} and its table {'differ' if differences else 'agree'}"
    return judged(
        not differences,
        f"{len(differences)} differences",
        "0 differences",
        message,
        remedy=MIGRATE,
        offending=differences,
    )


@check("model_imports_overall", CATEGORY, seconds=30)
def model_imports_overall(view: View) -> Finding:
    """Count the migrations that are not applied, and the changes of models without a migration. Limit: 0."""
    executor = MigrationExecutor(view.connection)
    leaves = executor.loader.graph.leaf_nodes()
    wrong = [f"not applied: {migration}" for migration, _ in executor.migration_plan(leaves)]
    wrong += [f"missing: a migration of {app} for: {change}" for app, change in _unmigrated_changes()]
    return judged(
        not wrong,
        f"{len(wrong)} migrations",
        "0 migrations",
        f"{len(wrong)} migrations are missing or not applied" if wrong else "all migrations exist and are applied",
        remedy=f"{MIGRATE}; if a model was edited without a migration, run first: manage.py makemigrations",
        offending=wrong,
    )


def _unmigrated_changes() -> list[tuple[str, str]]:
    """Return the app and the description of each operation that makemigrations would write for Slipway's apps."""
    loader = MigrationLoader(None)
    # Typed as Any, because the type stubs of this class lack some of its parameters.
    options: Any = {"specified_apps": set(BUILT_IN_APPS), "dry_run": True, "verbosity": 0, "log": log.debug}
    questioner = NonInteractiveMigrationQuestioner(**options)
    detector = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps), questioner)
    scope = set(BUILT_IN_APPS)
    try:
        changes = detector.changes(graph=loader.graph, trim_to_apps=scope, convert_apps=scope)
    except (CommandError, SystemExit):
        return [("an app", "a change that makemigrations has to ask about")]
    return [
        (app, operation.describe())
        for app, migrations in changes.items()
        for migration in migrations
        for operation in migration.operations
    ]
