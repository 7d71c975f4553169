"""The packages that tracing needs, which requirements-otel.txt locks."""

from importlib.util import find_spec

from django.core.exceptions import ImproperlyConfigured

NEEDED = (
    "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry.instrumentation.aiohttp_client",
    "opentelemetry.instrumentation.celery",
    "opentelemetry.instrumentation.django",
    "opentelemetry.instrumentation.psycopg",
    "opentelemetry.instrumentation.redis",
    "opentelemetry.sdk",
)


def require_packages() -> None:
    """Raise ImproperlyConfigured unless the packages are installed. This imports none of them."""
    if not all(map(_is_installed, NEEDED)):
        raise ImproperlyConfigured(
            "cannot export traces: the packages of OpenTelemetry are not installed; run: make otel (or unset "
            "OTEL_EXPORTER_OTLP_ENDPOINT)"
        )


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False
