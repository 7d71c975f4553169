"""What the results of a run come to. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.health_checks import Check, Finding, Result

WARNINGS_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    check: Check
    finding: Finding
    ms: float

    def document(self) -> dict[str, Any]:
        found = self.finding
        return {
            "id": self.check.id,
            "category": self.check.category,
            "status": found.result.value,
            "value": found.value,
            "limit": found.limit,
            "message": found.message,
            "remedy": found.remedy,
            "offending": list(found.offending),
            "offending_count": found.offending_count,
            "ms": round(self.ms, 1),
        }


def overall(results: Sequence[Result]) -> Result:
    """FAIL with any failure or error; else WARN with more than three warnings or anything skipped; else PASS. Nothing
    that was looked at is no pass.
    """
    if not results or {Result.FAIL, Result.ERROR} & set(results):
        return Result.FAIL
    has_skipped = Result.SKIP in results
    return Result.WARN if has_skipped or results.count(Result.WARN) > WARNINGS_AT_MOST else Result.PASS


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    results = [outcome.finding.result for outcome in outcomes]
    passed = results.count(Result.PASS)
    return {
        "overall": overall(results).value,
        "total": len(results),
        "passed": passed,
        "warned": results.count(Result.WARN),
        "failed": results.count(Result.FAIL),
        "errors": results.count(Result.ERROR),
        "skipped": results.count(Result.SKIP),
        "pass_rate": round(100 * passed / len(results), 1) if results else 0.0,
    }
