"""The periodic tasks: which queue each one waits in, and how often beat sends it.

A task with `expire_seconds` is dropped if no worker began it by then, so that ticks never pile up. The names of the
entries are kept in django-celery-beat's tables: a renamed entry would run twice.
"""

from typing import Any

from celery.schedules import crontab

CELERY_TASK_ROUTES: dict[str, dict[str, str]] = {
    "providers.poll_due": {"queue": "polls"},
    "providers.prune": {"queue": "slow"},
    "providers.import_uploads": {"queue": "slow"},
    "caching.warm_due": {"queue": "slow"},
    "caching.expire": {"queue": "slow"},
    "caching.carry_out_warm_ups": {"queue": "slow"},
    "caching.prune": {"queue": "slow"},
    "rollout.prune": {"queue": "slow"},
    "rollout.snapshot": {"queue": "slow"},
    "rollout.make_snapshot": {"queue": "slow"},
    "validation.validate": {"queue": "slow"},
    "validation.prune": {"queue": "slow"},
}

CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "judge rollouts": {"task": "rollout.tick", "schedule": 5.0, "options": {"expire_seconds": 5}},
    "poll due feeds": {"task": "providers.poll_due", "schedule": 5.0, "options": {"expire_seconds": 5}},
    "import what was uploaded": {
        "task": "providers.import_uploads",
        "schedule": 60.0,
        "options": {"expire_seconds": 60},
    },
    "refresh caches": {"task": "caching.warm_due", "schedule": 30.0, "options": {"expire_seconds": 30}},
    "carry out warm-ups": {
        "task": "caching.carry_out_warm_ups",
        "schedule": 30.0,
        "options": {"expire_seconds": 30},
    },
    "expire caches": {"task": "caching.expire", "schedule": 60.0, "options": {"expire_seconds": 60}},
    "prune warm-ups": {"task": "caching.prune", "schedule": 3600.0, "options": {"expire_seconds": 600}},
    "validate": {"task": "validation.validate", "schedule": 900.0, "options": {"expire_seconds": 600}},
    "validate the parts": {
        "task": "validation.validate",
        "schedule": 900.0,
        "kwargs": {"suite": "extended"},
        "options": {"expire_seconds": 600},
    },
    "validate in full": {
        "task": "validation.validate",
        "schedule": crontab(hour="3", minute="30"),
        "kwargs": {"is_full": True},
        "options": {"expire_seconds": 3600},
    },
    "watch validations": {"task": "validation.watch", "schedule": 300.0, "options": {"expire_seconds": 300}},
    "prune validations": {"task": "validation.prune", "schedule": 3600.0, "options": {"expire_seconds": 600}},
    "go on with a recovery run": {"task": "rollout.recover", "schedule": 5.0, "options": {"expire_seconds": 5}},
    "snapshot": {
        "task": "rollout.snapshot",
        "schedule": crontab(hour="2", minute="30"),
        "options": {"expire_seconds": 3600},
    },
    "prune readings": {"task": "rollout.prune", "schedule": 3600.0, "options": {"expire_seconds": 600}},
    "prune the logs": {"task": "providers.prune", "schedule": 3600.0, "options": {"expire_seconds": 600}},
}
