"""The extended suite: what the parts can measure of themselves."""

import hashlib
import random
import time
from datetime import timedelta
from functools import cache
from itertools import pairwise

import redis
from django.conf import settings
from django.db.models import Exists, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from caching.derivations.result import TooFewGames, encode
from caching.models import CacheEntry, CacheTarget, WarmUp
from caching.serving.gated import is_close
from caching.tiers.entries import ENTRIES
from caching.tiers.records import decode
from caching.warming.box_score_query import read_games
from caching.warming.compute import compute
from core import clock_skew
from core.errors import SlipwayError
from core.health_checks import Finding, Skipped, Suite, View, check, judged
from core.redis import client, key
from core.switches import Part
from core.text import duration
from providers.models import PollSlot
from rollout.choices import Stage
from rollout.gate import heartbeat
from rollout.gate.heartbeat import FADES_AFTER_SECONDS
from rollout.models import Activation, Rollout, Transition
from validation import sql
from validation.checks.caches import SAME_SUBJECT, served
from validation.checks.requirements import needing_redis
from validation.models import ValidationRun
from validation.operations import LATE

SAMPLE, POOL = 3, 20  # entries
SETTLED = timedelta(minutes=2)
EXAMPLE_TOKEN = "c7be1ed902fb8dd4d48997c6452f5d7e509fbcdbe2808b16bcf4edce4c07d14e"  # noqa: S105 - of .env.example
CLOCKS_SECONDS, QUEUE_LENGTH = 1.0, 100
TOLD_FOR = timedelta(hours=1)
LEFT_OVER = timedelta(hours=1)
QUEUES = ("control", "polls", "slow")


@check("entries_recomputed", "caches", Suite.EXTENDED, seconds=30)
def entries_recomputed(view: View) -> Finding:
    """A few entries of one sport, by chance, that no import made due, against what their box scores say now."""
    current = _current(CacheEntry.objects.filter(sport=random.choice(_sports())))  # noqa: S311
    looked, wrong, read = 0, [], cache(read_games)
    for entry in random.sample(list(current[:POOL]), k=min(SAMPLE, current[:POOL].count())):
        about = {"cache_type": entry.cache_type, "sport": entry.sport, "subject": entry.subject}
        looked += 1
        try:
            computed = decode(encode(compute(CacheTarget.objects.get(**about), read).payload))
        except (TooFewGames, ValueError, SlipwayError) as error:
            wrong.append(f"{entry.cache_key}: {error}")
            continue
        if not is_close(computed, decode(entry.data_json.encode())):
            wrong.append(f"{entry.cache_key}: computed anew it is another")
    if not looked:
        raise Skipped("no entry of the sport chosen is current", "run: manage.py warm_caches")
    said = f"{len(wrong)} entries are not what their box scores say" if wrong else "entries computed anew agree"
    remedy = "run: manage.py warm_caches --force; find out who writes to portfolio_rationales"
    return judged(not wrong, f"{len(wrong)} of {looked}", "0", said, remedy=remedy, offending=wrong)


def _sports() -> list[str]:
    return list(CacheTarget.objects.filter(is_enabled=True).order_by().values_list("sport", flat=True).distinct()) or [
        ""
    ]


def _current(entries: "QuerySet[CacheEntry]") -> "QuerySet[CacheEntry]":
    """Those that are served, and that no import made due."""
    return entries.filter(served(), soft_expires_at__gt=Now())


@check("tiers_agree", "caches", Suite.EXTENDED)
def tiers_agree(view: View) -> Finding:
    """What this process and Redis hold of the newest entries is what PostgreSQL holds. An older value may be held for
    the minute that a lost announcement costs at most.
    """
    looked, wrong = 0, []
    for entry in _current(CacheEntry.objects.all()).order_by("-soft_expires_at")[:POOL]:
        about, stamp = entry.cache_key.rpartition(":")[0], int(entry.updated_at.timestamp() * 1e6)
        is_settled = entry.updated_at < timezone.now() - SETTLED
        for tier, record in ENTRIES.held(about).items():
            looked += 1
            is_other = hashlib.sha256(record.data).hexdigest() != entry.data_hash
            if (is_other and record.stamp == stamp) or (record.stamp < stamp and is_settled):
                wrong.append(f"{about}: {tier.name} holds another value")
    if not looked:
        raise Skipped("neither this process nor Redis holds an entry", "ask the API for one, and look again")
    said = f"{len(wrong)} values differ between the tiers" if wrong else "the tiers hold what PostgreSQL holds"
    remedy = "restart the processes; if it comes back, see that Redis keeps what it was told"
    return judged(not wrong, f"{len(wrong)} of {looked}", "0", said, remedy=remedy, offending=wrong)


@check("no_lease_left_over", "work", Suite.EXTENDED)
def no_lease_left_over(view: View) -> Finding:
    """Work that is due, whose lease ended long ago, and that nobody took up again."""
    long_ago, is_on = Now() - LEFT_OVER, Activation.objects.allows
    slots = PollSlot.objects.filter(lease_until__lt=long_ago, next_poll_at__lt=long_ago)
    fresh = CacheEntry.objects.filter(**SAME_SUBJECT, soft_expires_at__gt=long_ago)
    targets = CacheTarget.objects.filter(~Exists(fresh), is_enabled=True, lease_until__lt=long_ago)
    left = [f"slot {slot}" for slot in slots] if is_on(Part.POLLING) else []
    if is_on(Part.WARMING):
        left += [f"target {target}" for target in targets]
        left += [f"warm-up {up.pk}" for up in WarmUp.objects.filter(ended_at=None, lease_until__lt=long_ago)]
    said = f"{len(left)} leases are left over" if left else "no lease is left over"
    return judged(not left, f"{len(left)} leases", "0 leases", said, remedy="see that workers run", offending=left)


@check("clocks_agree", "machines", Suite.EXTENDED)
def clocks_agree(view: View) -> Finding:
    """This process's, the database's, Redis's, and those of the web processes and workers, as they told Redis."""
    with needing_redis():
        own, _ = clock_skew.measured()
        others = clock_skew.told()
    ahead = {"Redis": -own} | {name: by - own for name, by in others.items()}
    asked = time.time()
    ahead["the database"] = view.value(sql.NOW) - (asked + time.time()) / 2
    off = {name: by for name, by in ahead.items() if abs(by) > CLOCKS_SECONDS}
    most = max(map(abs, ahead.values()))
    return judged(
        not off,
        f"{most:.2f} s apart",
        f"at most {CLOCKS_SECONDS:g} s",
        "; ".join(f"{name} is {by:+.1f} s off" for name, by in off.items()) or "the clocks agree",
        remedy="run NTP on every machine",
        offending=list(off),
    )


@check("queues_are_short", "work", Suite.EXTENDED)
def queues_are_short(view: View) -> Finding:
    with needing_redis():
        lengths = {name: int(client().llen(key(name))) for name in QUEUES}
    longest, limit = max(lengths.values()), f"at most {QUEUE_LENGTH}"
    wrong = [f"{name}: {length}" for name, length in lengths.items() if length > QUEUE_LENGTH]
    said = f"work piles up in {', '.join(wrong)}" if wrong else "no work piles up"
    return judged(not wrong, longest, limit, said, remedy="run more workers of that queue", offending=wrong)


@check("beat_alive", "work", Suite.EXTENDED)
def beat_alive(view: View) -> Finding:
    """Without Redis no tick reaches the gates either."""
    try:
        fresh, said = heartbeat.is_fresh(), "the control loop ticks"
    except redis.RedisError as error:
        fresh, said = False, f"Redis does not answer: {type(error).__name__}"
    else:
        said = said if fresh else f"no tick of the control loop for {FADES_AFTER_SECONDS} s: gates answer control"
    return judged(
        fresh,
        "ticks" if fresh else "no tick",
        f"a tick in {FADES_AFTER_SECONDS} s",
        said,
        remedy="start Redis, beat and the workers",
    )


@check("validation_runs_on_time", "work", Suite.EXTENDED)
def validation_runs_on_time(view: View) -> Finding:
    """The exit suite comes by itself every quarter of an hour; what was missed is told of for an hour."""
    came = ValidationRun.objects.by_themselves(Suite.EXIT)
    times = [view.value("SELECT now()"), *came.values_list("started_at", flat=True)[:6]]
    if len(times) == 1:
        raise Skipped("none came by itself yet", "wait a quarter of an hour; else start beat and the workers of slow")
    gaps = [(later - earlier, earlier) for later, earlier in pairwise(times) if later > times[0] - TOLD_FOR]
    longest, since = max(gaps)
    is_good, minutes = longest <= LATE, f"{longest.total_seconds() / 60:.0f} min"
    said = "runs come in time" if is_good else f"nothing was looked at for {minutes} from {since:%Y-%m-%d %H:%M} UTC on"
    remedy = "start beat and the workers of the queue slow"
    return judged(is_good, minutes, duration(LATE.total_seconds()), said, remedy=remedy)


@check("rollout_history_whole", "rollouts", Suite.EXTENDED)
def rollout_history_whole(view: View) -> Finding:
    """One transition per epoch, each beginning where the one before it ended; as far back as they are kept."""
    wrong = []
    for rollout in Rollout.objects.order_by("name"):
        moves = list(
            Transition.objects.filter(rollout=rollout).order_by("epoch").values_list("epoch", "from_stage", "to_stage")
        )
        for (epoch, _, to), (following, begins, _) in pairwise(moves):
            if following != epoch + 1 or begins != to:
                wrong.append(f"{rollout}: after epoch {epoch}")
        last = (moves[-1][0], moves[-1][2]) if moves else (0, Stage.DISABLED)
        is_kept = moves or rollout.stage_entered_at > timezone.now() - timedelta(days=Transition.KEEP_DAYS)
        old = timezone.now() - timedelta(days=Transition.KEEP_DAYS - 1)
        if moves and moves[0][0] > 1 and not Transition.objects.filter(rollout=rollout, at__lt=old).exists():
            wrong.append(f"{rollout}: before epoch {moves[0][0]}")
        if is_kept and last != (rollout.epoch, rollout.stage):
            wrong.append(f"{rollout}: it stands at epoch {rollout.epoch}, {rollout.stage}")
    said = f"the history has {len(wrong)} gaps" if wrong else "the history is whole"
    remedy = "somebody changed rollouts past their operations: abort them, and start them again"
    return judged(not wrong, f"{len(wrong)} gaps", "0 gaps", said, remedy=remedy, offending=wrong)


@check("secrets_set", "machines", Suite.EXTENDED)
def secrets_set(view: View) -> Finding:
    """Not those of the example, and a token for whoever is to ask."""
    wrong = ["SECRET_KEY is the example's"] if settings.SECRET_KEY.startswith("replace-me") else []
    wrong += ["API_TOKENS holds the example's"] if EXAMPLE_TOKEN in settings.API_TOKENS else []
    wrong += [] if settings.API_TOKENS else ["API_TOKENS is empty: nobody can ask the API"]
    said = f"{len(wrong)} settings are not set" if wrong else "secrets are set"
    return judged(not wrong, f"{len(wrong)} faults", "0 faults", said, remedy="see .env.example", offending=wrong)
