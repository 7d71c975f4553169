"""Django's own tests of a cache backend, run against caching.backend."""

import sys
import time
import types
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.test import SimpleTestCase, override_settings

from caching.models import CacheValue
from caching.tiers import values
from tests.fetch_suite import SUITE

if not (SUITE / "cache" / "tests.py").exists():
    pytest.skip("Django's own cache tests are not here: make test fetches them", allow_module_level=True)

# The package of the tests imports a model that only its tests of pickling use; a stub replaces it.
sys.path.append(str(SUITE))
models: Any = types.ModuleType("cache.models")
models.Poll, models.expensive_calculation = None, None
sys.modules["cache.models"] = models
from cache import tests as suite  # type: ignore[import-not-found]  # noqa: E402


def passes(seconds: float) -> None:
    """Make the stored values older instead of sleeping, and drop every copy of them."""
    CacheValue.objects.update(expires_at=F("expires_at") - timedelta(seconds=seconds))
    values.VALUES.memory.clear()
    values.VALUES.drop_and_announce([])


suite.time = types.SimpleNamespace(sleep=passes, time=time.time)
NEED_PICKLE = [
    "test_add_fail_on_pickleerror",
    "test_binary_string",
    "test_cache_read_for_model_instance",
    "test_cache_read_for_model_instance_with_deferred",
    "test_cache_write_for_model_instance_with_deferred",
    "test_cache_write_unpicklable_object",
    "test_data_types",
    "test_set_fail_on_pickleerror",
]


@override_settings(CACHES=suite.caches_setting_for_tests(BACKEND="caching.backend.DerivedCache"))
class TestDerivedCache(suite.BaseCacheTests, SimpleTestCase):
    """Django's tests. No transaction surrounds a test, so that it uses all three tiers; each test clears the cache."""

    databases = {"default"}


for name in NEED_PICKLE:
    setattr(TestDerivedCache, name, None)
