"""Django's settings. The values that differ between deployments come from the environment: see .env.example."""

import logging
import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from config.console.theme import UNFOLD  # noqa: F401 - a setting
from config.embedded import lifecycle
from config.environment.env_file import load_env_file
from config.environment.home import HOME
from config.environment.team_apps import find_team_apps
from config.environment.variables import (
    Environment,
    header_values,
    malformed,
    parse_api_tokens,
    parse_count,
    parse_host,
    parse_http_url,
    parse_networks,
    parse_port,
    parse_redis_url,
    parse_share,
)
from config.logs import configure, logging_dict
from config.middleware.csp import STRICT
from config.schedule import CELERY_BEAT_SCHEDULE, CELERY_TASK_ROUTES  # noqa: F401 - settings
from config.tracing.packages import require_packages
from core.redaction import hide

BASE_DIR = HOME
load_env_file()
env = Environment()

SECRET_KEY = env.str("SECRET_KEY")
if len(SECRET_KEY) < 32:
    raise malformed("SECRET_KEY", "32 characters or more")
DEBUG = env.flag("DEBUG")
WEB_HOST = parse_host("WEB_HOST", env.str("WEB_HOST", default="127.0.0.1"))
WEB_PORT = parse_port("WEB_PORT", env.str("WEB_PORT", default="8000"))
WEB_WORKERS = parse_count("WEB_WORKERS", env.str("WEB_WORKERS", default="2"), at_most=64)
WEB_THREADS = parse_count("WEB_THREADS", env.str("WEB_THREADS", default="8"), at_most=256)
SITE_URL = parse_http_url("SITE_URL", env.str("SITE_URL"))
IS_HTTPS = SITE_URL.startswith("https://")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[urlsplit(SITE_URL).hostname])
CSRF_TRUSTED_ORIGINS = [SITE_URL]
TRUSTED_PROXIES = parse_networks("TRUSTED_PROXIES", env.list("TRUSTED_PROXIES", default=[]))
API_TOKENS = parse_api_tokens("API_TOKENS", env.list("API_TOKENS", default=[]))
CORS_ALLOWED_ORIGINS = [parse_http_url("CORS_ORIGINS", origin) for origin in env.list("CORS_ORIGINS", default=[])]
CORS_URLS_REGEX = r"^/ofrep/"
CORS_ALLOW_METHODS = ["POST"]
CORS_ALLOW_HEADERS = ["authorization", "content-type", "if-none-match", "x-api-key"]
CORS_EXPOSE_HEADERS = ["ETag", "Retry-After"]
API_TOKEN = env.str("API_TOKEN", default="")  # a token of API_TOKENS, for manage.py drive
STUB_FEED_URL = env.str("STUB_FEED_URL", default="")
if STUB_FEED_URL:
    STUB_FEED_URL = parse_http_url("STUB_FEED_URL", STUB_FEED_URL)
NOTIFY_WEBHOOK_URL = env.str("NOTIFY_WEBHOOK_URL", default="")
if NOTIFY_WEBHOOK_URL:
    NOTIFY_WEBHOOK_URL = parse_http_url("NOTIFY_WEBHOOK_URL", NOTIFY_WEBHOOK_URL)
REHEARSAL_DATABASE_URL = env.str("REHEARSAL_DATABASE_URL", default="")
SNAPSHOT_DIR = BASE_DIR / env.str("SNAPSHOT_DIR", default="var/snapshots")
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")
IS_TRACING = bool(OTEL_EXPORTER_OTLP_ENDPOINT) and not env.flag("OTEL_SDK_DISABLED")
if IS_TRACING:
    parse_http_url("OTEL_EXPORTER_OTLP_ENDPOINT", OTEL_EXPORTER_OTLP_ENDPOINT)
    if env.str("OTEL_EXPORTER_OTLP_PROTOCOL", default="http/protobuf") != "http/protobuf":
        raise malformed("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    require_packages()
TRACE_BACKGROUND_SHARE = parse_share("TRACE_BACKGROUND_SHARE", env.str("TRACE_BACKGROUND_SHARE", default="0.01"))
MAIL = env.mail("EMAIL_URL", default="consolemail://")
vars().update(MAIL)
EMAIL_TIMEOUT = 10

INSTALLED_APPS = [
    "config.apps.SiteConfig",
    "core.console.apps.ConsoleConfig",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "axes",
    "django_celery_beat",
    "django_structlog",
    "corsheaders",
    "csp",
    "ninja",
    "pgtrigger",
    "pghistory",
    "rollout",
    "providers",
    "caching",
    "validation",
]
TEAM_APPS = find_team_apps("SLIPWAY_APPS", env.list("SLIPWAY_APPS", default=[]))
INSTALLED_APPS += [app.entry for app in TEAM_APPS]
MIDDLEWARE = [
    "config.middleware.request_counter.CountRequests",
    "config.middleware.trusted_proxies.TrustedProxies",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.middleware.csp.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).with_name("templates")],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

DATABASES = {"default": env.database("DATABASE_URL") if os.environ.get("DATABASE_URL") else lifecycle.database()}
DATABASES["default"] |= {
    "CONN_MAX_AGE": 60,
    "CONN_HEALTH_CHECKS": True,
    "DISABLE_SERVER_SIDE_CURSORS": True,  # PgBouncer in transaction mode cannot keep them
    # Server-side binding stays off, because pghistory needs it off.
    "OPTIONS": {"connect_timeout": 5, "tcp_user_timeout": 10_000, "application_name": "slipway"}
    | DATABASES["default"].get("OPTIONS", {}),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = parse_redis_url("REDIS_URL", env.str("REDIS_URL")) if os.environ.get("REDIS_URL") else lifecycle.redis_url()
REDIS_PREFIX = env.str("REDIS_PREFIX", default="slipway:")
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "derived": {"BACKEND": "caching.backend.DerivedCache", "OPTIONS": {"MAX_ENTRIES": 100_000}},
}

# After five wrong passwords for a name from one address, that pair is locked for 15 minutes.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT, AXES_COOLOFF_TIME = 5, timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = AXES_VERBOSE = False
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG  # one entry per request is enough: the one at its end
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # config.middleware.request_log adds the address behind trusted proxies
DJANGO_STRUCTLOG_USER_ID_FIELD = "username"
AXES_LOCKOUT_TEMPLATE = "429.html"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_AGE = 12 * 60 * 60
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = IS_HTTPS
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$", "^metrics$"]  # probes do not use TLS
SECURE_HSTS_SECONDS = 31536000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {"DIRECTIVES": STRICT}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "var" / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": REDIS_PREFIX}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_TIMEZONE = TIME_ZONE
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
DJANGO_STRUCTLOG_CELERY_ENABLED = True

hide(
    [
        SECRET_KEY,
        API_TOKEN,
        DATABASES["default"].get("PASSWORD") or "",
        MAIL.get("EMAIL_HOST_PASSWORD") or "",
        *(urlsplit(url).password or "" for url in (REDIS_URL, REHEARSAL_DATABASE_URL)),
        urlsplit(NOTIFY_WEBHOOK_URL).path.rpartition("/")[2],  # most webhooks have their secret there
        *header_values(env.str("OTEL_EXPORTER_OTLP_HEADERS", default="")),
        *header_values(env.str("OTEL_EXPORTER_OTLP_TRACES_HEADERS", default="")),
    ]
)
configure()
LOGGING = logging_dict()
LOGGING_CONFIG = "logging.config.dictConfig"
