"""Whether workers take ticks: each tick leaves a mark in Redis that fades."""

from rollout.redis import client, key

FADES_AFTER_SECONDS = 30  # six ticks


def beat() -> None:
    client().set(key("heartbeat"), 1, ex=FADES_AFTER_SECONDS)


def is_fresh() -> bool:
    return bool(client().exists(key("heartbeat")))
