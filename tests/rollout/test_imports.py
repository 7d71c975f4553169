"""Imports that must stay small: of code that calls a gate, and of the figures for Prometheus."""

import os
import subprocess
import sys

import grimp
import pytest

from tests.databases import ROOT

PACKAGES = ("core", "config", "rollout", "providers", "caching", "validation")
NOT_FOR_A_GATE = ("rollout.recovery", "celery", "kombu", "unfold", "core.console", "django.contrib.admin")
PRINT_MODULES = "import sys, rollout.gate; print(*sys.modules, sep='\\n')"
PROMETHEUS = ("config.probes", "config.prometheus.exposition", "caching.prometheus", "providers.prometheus")


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_importing_a_gate_loads_neither_recovery_nor_celery_nor_the_console() -> None:
    """A fresh interpreter imports it with settings, before Django is set up."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-c", PRINT_MODULES]
    output = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    loaded = output.split()
    assert "rollout.gate.gates" in loaded
    assert [module for module in loaded if any(is_in(module, package) for package in NOT_FOR_A_GATE)] == []


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """The imports between modules. Setting Django up loads every installed app, so `sys.modules` does not show that."""
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


@pytest.mark.parametrize("package", ["rollout.recovery", "core.console", "celery", "kombu", "unfold"])
def test_no_import_leads_from_a_gate_to(graph: grimp.ImportGraph, package: str) -> None:
    assert package in graph.modules
    assert graph.find_shortest_chain("rollout.gate", "core.redis", as_packages=True) is not None
    assert graph.find_shortest_chain("rollout.gate", package, as_packages=True) is None


@pytest.mark.parametrize("package", ["core.console.admin", "unfold"])
@pytest.mark.parametrize("module", PROMETHEUS)
def test_no_import_leads_from_prometheus_to(graph: grimp.ImportGraph, module: str, package: str) -> None:
    assert package in graph.modules
    assert graph.find_shortest_chain(module, package) is None
