"""The computation of a leased target, and the result of warming a target that callers get."""

from dataclasses import dataclass
from typing import Any

from caching.choices import WarmOutcome
from caching.derivations.result import Computed
from caching.models import CacheTarget
from caching.tiers.records import Record


@dataclass(frozen=True, slots=True)
class Computation:
    """The computation of a leased target: `computed` and its payload as JSON, or a problem.

    fence: the fence of the lease. ms: the time that the computation took.
    """

    target: CacheTarget
    fence: int
    ms: float
    computed: Computed | None = None
    data: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class WarmResult:
    """The result of warming one target.

    sample_size, confidence: those of the stored entry. record: what was stored, None if nothing was.
    """

    target: CacheTarget
    outcome: WarmOutcome
    sample_size: int = 0
    confidence: float = 0.0
    ms: float = 0.0
    problem: str = ""
    record: Record | None = None

    @property
    def cache_key(self) -> str:
        return self.target.cache_key

    def document(self) -> dict[str, Any]:
        """Return the result as warm_caches prints it."""
        return {
            "cache_key": self.cache_key,
            "cache_type": self.target.cache_type,
            "sport": self.target.sport,
            "subject": self.target.subject,
            "outcome": self.outcome.value,
            "sample_size": self.sample_size,
            "confidence": self.confidence,
            "ms": self.ms,
            "problem": self.problem,
        }
