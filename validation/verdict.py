"""The results of a run, and the overall result that follows from them. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from core.health_checks import Check, Finding, Result

WARNINGS_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """A check's finding, and the milliseconds that it took."""

    check: Check
    finding: Finding
    ms: float

    def document(self) -> dict[str, Any]:
        """Return the JSON document of `validate --format json` for this check."""
        finding = self.finding
        return {
            "id": self.check.id,
            "category": self.check.category,
            "status": finding.result.value,
            "value": finding.value,
            "limit": finding.limit,
            "message": finding.message,
            "remedy": finding.remedy,
            "offending": list(finding.offending),
            "offending_count": finding.offending_count,
            "ms": round(self.ms, 1),
        }


class Summary(TypedDict):
    """The counts of a run by result. `pass_rate` is a percent, 0 to 100."""

    overall: str
    total: int
    passed: int
    warned: int
    failed: int
    errors: int
    skipped: int
    pass_rate: float


def overall_result(results: Sequence[Result]) -> Result:
    """Return the overall result of a run.

    It is FAIL with any failure or error, and without any result: a run that looked at nothing is not a pass. It is WARN
    with more than WARNINGS_AT_MOST (3) warnings or with anything skipped, else PASS.
    """
    if not results or Result.FAIL in results or Result.ERROR in results:
        return Result.FAIL
    if Result.SKIP in results or results.count(Result.WARN) > WARNINGS_AT_MOST:
        return Result.WARN
    return Result.PASS


def summarize(outcomes: Sequence[CheckOutcome]) -> Summary:
    """Return the counts of the outcomes by result."""
    results = [outcome.finding.result for outcome in outcomes]
    passed = results.count(Result.PASS)
    return {
        "overall": overall_result(results).value,
        "total": len(results),
        "passed": passed,
        "warned": results.count(Result.WARN),
        "failed": results.count(Result.FAIL),
        "errors": results.count(Result.ERROR),
        "skipped": results.count(Result.SKIP),
        "pass_rate": round(100 * passed / len(results), 1) if results else 0.0,
    }
