"""The environment of the tests, and the servers that they need. pytest loads it before the settings."""

import os
from pathlib import Path

os.environ |= {
    "SECRET_KEY": "for the tests only, thirty-two characters or more",
    "DEBUG": "off",
    "SLIPWAY_APPS": "",
    "SITE_URL": "http://127.0.0.1:8000",
    "ALLOWED_HOSTS": "127.0.0.1,localhost,testserver",
    "TRUSTED_PROXIES": "10.0.0.0/8",
    "STUB_FEED_URL": "",
    "THEODDS_API_KEY": "",
    "SPORTSRADAR_API_KEY": "",
    # sha256 of "let-me-in"
    "API_TOKENS": "tests:a3ee786b5707c27d42570785081ec17f5c7db9262a01366af362a1aa61a420b9",
    "REDIS_PREFIX": f"test-{os.getpid()}:",
    "EMAIL_URL": "memorymail://",
}

from config.embedded import lifecycle

# whitenoise warns if the folder that `bootstrap` collects static files into does not exist yet.
(Path(__file__).parent.parent / "var" / "static").mkdir(parents=True, exist_ok=True)
lifecycle.ensure()
