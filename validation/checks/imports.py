"""model-imports: the models are there under the names others know, and migrations are complete."""

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
from validation.checks.database import OURS
from validation.checks.schema import column_differences

CATEGORY = "model-imports"
MIGRATE = "run: manage.py migrate"


@check("import_ProviderState", CATEGORY)
def import_provider_state(view: View) -> Finding:
    return _import("providers.models", "ProviderState", "ProviderState", view)


@check("import_PortfolioRationale", CATEGORY)
def import_portfolio_rationale(view: View) -> Finding:
    """An alias of CacheEntry."""
    return _import("caching.models", "PortfolioRationale", "CacheEntry", view)


def _import(module: str, name: str, real: str, view: View) -> Finding:
    remedy = "install the release again; its files are not complete"
    try:
        model: type[models.Model] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        return Finding(Result.FAIL, "not importable", f"{module}.{name}", str(error), remedy)
    if model is not getattr(import_module(module), real):
        return Finding(Result.FAIL, model.__name__, real, f"{module}.{name} is another model", remedy)
    wrong = column_differences(model, view)
    said = f"{module}.{name} and its table {'differ' if wrong else 'agree'}"
    return judged(not wrong, f"{len(wrong)} differences", "0 differences", said, remedy=MIGRATE, offending=wrong)


@check("model_imports_overall", CATEGORY, seconds=30)
def model_imports_overall(view: View) -> Finding:
    """No migration is unapplied, and none is missing."""
    executor = MigrationExecutor(view.connection)
    leaves = executor.loader.graph.leaf_nodes()
    wrong = [f"not applied: {migration}" for migration, _ in executor.migration_plan(leaves)]
    wrong += [f"missing: a migration of {app} for {change}" for app, change in _changes()]
    return judged(
        not wrong,
        f"{len(wrong)} migrations",
        "0 migrations",
        f"{len(wrong)} migrations are not applied or missing" if wrong else "migrations are applied and complete",
        remedy=f"{MIGRATE}; a missing one comes with the release that edited the model: manage.py makemigrations",
        offending=wrong,
    )


def _changes() -> list[tuple[str, str]]:
    """What makemigrations would write for our apps."""
    loader = MigrationLoader(None)
    quiet: Any = {"specified_apps": set(OURS), "dry_run": True, "verbosity": 0, "log": lambda said: None}
    questioner = NonInteractiveMigrationQuestioner(**quiet)
    detector = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps), questioner)
    try:
        changes = detector.changes(graph=loader.graph, trim_to_apps=set(OURS), convert_apps=set(OURS))
    except (CommandError, SystemExit):
        return [("an app", "a change that needs a decision")]
    return [
        (app, operation.describe())
        for app, migrations in changes.items()
        for migration in migrations
        for operation in migration.operations
    ]
