"""The extended suite: what the parts can measure about themselves."""

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

from caching.derivations.result import TooFewGames, encode_payload
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
from validation.checks.caches import SAME_SUBJECT, is_served
from validation.checks.requirements import skipping_without_redis
from validation.models import ValidationRun
from validation.operations import OVERDUE_AFTER

RECOMPUTED_AT_MOST, NEWEST = 3, 20  # entries
ANNOUNCED_WITHIN = timedelta(minutes=2)  # a lost announcement leaves an older value in a tier for a minute at most
LEASE_LIMIT = timedelta(hours=1)
CLOCK_LIMIT_SECONDS = 1.0
QUEUES = ("control", "polls", "slow")
QUEUE_LIMIT = 100  # tasks
GAPS_WITHIN = timedelta(hours=1)
EXAMPLE_TOKEN = "c7be1ed902fb8dd4d48997c6452f5d7e509fbcdbe2808b16bcf4edce4c07d14e"  # noqa: S105 - of .env.example


@check("entries_recomputed", "caches", Suite.EXTENDED, seconds=30)
def entries_recomputed(view: View) -> Finding:
    """Recompute up to 3 current entries of one sport, chosen by chance, from their box scores. Limit: 0 that differ."""
    entries = list(_current(CacheEntry.objects.filter(sport=_random_sport()))[:NEWEST])
    chosen = random.sample(entries, k=min(RECOMPUTED_AT_MOST, len(entries)))
    if not chosen:
        raise Skipped("no entry of the chosen sport is current", "run: manage.py warm_caches")
    wrong, read = [], cache(read_games)
    for entry in chosen:
        target = CacheTarget.objects.get(cache_type=entry.cache_type, sport=entry.sport, subject=entry.subject)
        try:
            recomputed = decode(encode_payload(compute(target, read).payload))
        except (TooFewGames, ValueError, SlipwayError) as error:
            wrong.append(f"{entry.cache_key}: {error}")
            continue
        if not is_close(recomputed, decode(entry.data_json.encode())):
            wrong.append(f"{entry.cache_key}: the recomputed payload differs")
    return judged(
        not wrong,
        f"{len(wrong)} of {len(chosen)} entries",
        "0 entries",
        f"{len(wrong)} entries differ from their box scores"
        if wrong
        else "recomputed entries agree with the stored ones",
        remedy="run: manage.py warm_caches --force; then find out which process writes to portfolio_rationales",
        offending=wrong,
    )


def _random_sport() -> str:
    """Return a sport that has enabled targets; empty if none has."""
    targets = CacheTarget.objects.filter(is_enabled=True)
    sports = list(targets.order_by().values_list("sport", flat=True).distinct())
    return random.choice(sports) if sports else ""  # noqa: S311 - a sample needs no secrecy


def _current(entries: "QuerySet[CacheEntry]") -> "QuerySet[CacheEntry]":
    """Return the entries that are served and that are not due: an import makes entries due."""
    return entries.filter(is_served(), soft_expires_at__gt=Now())


@check("tiers_agree", "caches", Suite.EXTENDED)
def tiers_agree(view: View) -> Finding:
    """Compare what this process and Redis hold of the 20 newest entries with PostgreSQL. Limit: 0 that differ.

    A tier may hold an older value of an entry that changed within the last 2 min.
    """
    compared, wrong = 0, []
    for entry in _current(CacheEntry.objects.all()).order_by("-soft_expires_at")[:NEWEST]:
        name, stamp = entry.cache_key.rpartition(":")[0], int(entry.updated_at.timestamp() * 1e6)
        must_be_announced = entry.updated_at < timezone.now() - ANNOUNCED_WITHIN
        for tier, record in ENTRIES.held(name).items():
            compared += 1
            differs = hashlib.sha256(record.data).hexdigest() != entry.data_hash
            is_outdated = record.stamp < stamp and must_be_announced
            if is_outdated or (differs and record.stamp == stamp):
                wrong.append(f"{name}: {tier.name} holds another value")
    if not compared:
        raise Skipped(
            "neither this process nor Redis holds an entry", "request a value from /api/v1/derived, and run it again"
        )
    return judged(
        not wrong,
        f"{len(wrong)} of {compared} values",
        "0 values",
        f"{len(wrong)} values differ between the tiers" if wrong else "the tiers agree with PostgreSQL",
        remedy="restart every process; if it fails again, check that Redis keeps its keys (INFO stats: evicted_keys)",
        offending=wrong,
    )


@check("no_lease_left_over", "work", Suite.EXTENDED)
def no_lease_left_over(view: View) -> Finding:
    """Count the leases that expired more than 1 h ago on work that is still due. Limit: 0.

    Work of a part that is switched off is not counted.
    """
    limit, is_on = Now() - LEASE_LIMIT, Activation.objects.allows
    slots = PollSlot.objects.filter(lease_until__lt=limit, next_poll_at__lt=limit)
    fresh = CacheEntry.objects.filter(**SAME_SUBJECT, soft_expires_at__gt=limit)
    targets = CacheTarget.objects.filter(~Exists(fresh), is_enabled=True, lease_until__lt=limit)
    warm_ups = WarmUp.objects.filter(ended_at=None, lease_until__lt=limit)
    expired = [f"slot {slot}" for slot in slots] if is_on(Part.POLLING) else []
    if is_on(Part.WARMING):
        expired += [f"target {target}" for target in targets]
        expired += [f"warm-up {warm_up.pk}" for warm_up in warm_ups]
    return judged(
        not expired,
        f"{len(expired)} leases",
        "0 leases",
        f"{len(expired)} pieces of due work were not resumed" if expired else "no due work is left behind",
        remedy="check that the workers of the queues polls and slow run",
        offending=expired,
    )


@check("clocks_agree", "machines", Suite.EXTENDED)
def clocks_agree(view: View) -> Finding:
    """Measure the clocks of Redis, the database and every process against this process's clock. Limit: 1 s apart.

    Web processes and workers publish their skew in Redis.
    """
    with skipping_without_redis():
        own_skew, _ = clock_skew.measure_skew()
        skews = clock_skew.skew_by_process()
    ahead = {"Redis": -own_skew} | {name: skew - own_skew for name, skew in skews.items()}
    asked_at = time.time()
    ahead["the database"] = view.value(sql.CLOCK_SECONDS) - (asked_at + time.time()) / 2
    off = {name: seconds for name, seconds in ahead.items() if abs(seconds) > CLOCK_LIMIT_SECONDS}
    return judged(
        not off,
        f"{max(map(abs, ahead.values())):.2f} s apart",
        f"at most {CLOCK_LIMIT_SECONDS:g} s",
        "; ".join(f"{name} is {seconds:+.1f} s off" for name, seconds in off.items()) or "the clocks agree",
        remedy="run NTP on every machine",
        offending=list(off),
    )


@check("queues_are_short", "work", Suite.EXTENDED)
def queues_are_short(view: View) -> Finding:
    """Measure the longest Celery queue. Limit: 100 tasks."""
    with skipping_without_redis():
        lengths = {name: int(client().llen(key(name))) for name in QUEUES}
    long = [f"{name}: {length} tasks" for name, length in lengths.items() if length > QUEUE_LIMIT]
    return judged(
        not long,
        f"{max(lengths.values())} tasks",
        f"at most {QUEUE_LIMIT} tasks",
        f"tasks accumulate in the queue {', '.join(long)}" if long else "no queue is long",
        remedy="run more workers of the named queues",
        offending=long,
    )


@check("beat_alive", "work", Suite.EXTENDED)
def beat_alive(view: View) -> Finding:
    """Find out whether the control loop ticked. Limit: a tick in the last 30 s.

    It fails without Redis, too: no tick reaches the gates then.
    """
    try:
        is_fresh, message = heartbeat.is_fresh(), "the control loop ticks"
    except redis.RedisError as error:
        is_fresh, message = False, f"Redis does not answer: {type(error).__name__}"
    else:
        if not is_fresh:
            message = f"the control loop did not tick for {FADES_AFTER_SECONDS} s: every gate answers control"
    return judged(
        is_fresh,
        "ticks" if is_fresh else "no tick",
        f"a tick in {FADES_AFTER_SECONDS} s",
        message,
        remedy="start Redis, beat and the workers of the queue control",
    )


@check("validation_runs_on_time", "work", Suite.EXTENDED)
def validation_runs_on_time(view: View) -> Finding:
    """Measure the longest time between two scheduled runs of the exit suite. Limit: 20 min, over the last hour."""
    starts = ValidationRun.objects.scheduled(Suite.EXIT).values_list("started_at", flat=True)[:6]
    times = [view.value(sql.VIEW_MOMENT), *starts]
    if len(times) == 1:
        raise Skipped(
            "no scheduled run took place yet", "wait 15 min; if none comes, start beat and the workers of slow"
        )
    gaps = [(later - earlier, earlier) for later, earlier in pairwise(times) if later > times[0] - GAPS_WITHIN]
    longest, since = max(gaps)
    is_good, minutes = longest <= OVERDUE_AFTER, f"{longest.total_seconds() / 60:.0f} min"
    return judged(
        is_good,
        minutes,
        duration(OVERDUE_AFTER.total_seconds()),
        "scheduled runs are on time" if is_good else f"no scheduled run for {minutes} from {since:%Y-%m-%d %H:%M} UTC",
        remedy="start beat and the workers of the queue slow",
    )


@check("rollout_history_whole", "rollouts", Suite.EXTENDED)
def rollout_history_whole(view: View) -> Finding:
    """Count the gaps in the transitions of every rollout. Limit: 0.

    Each epoch has one transition, which begins at the stage that the one before it reached, and the last one reached
    the rollout's stage. Transitions past their retention are not expected.
    """
    gaps = [gap for rollout in Rollout.objects.order_by("name") for gap in _history_gaps(rollout)]
    return judged(
        not gaps,
        f"{len(gaps)} gaps",
        "0 gaps",
        f"the history of the rollouts has {len(gaps)} gaps" if gaps else "the history of every rollout is complete",
        remedy="a process bypassed the operations; run: manage.py rollout abort NAME, then: manage.py rollout start",
        offending=gaps,
    )


def _history_gaps(rollout: Rollout) -> list[str]:
    transitions = Transition.objects.filter(rollout=rollout)
    moves = list(transitions.order_by("epoch").values_list("epoch", "from_stage", "to_stage"))
    gaps = [
        f"{rollout}: after epoch {epoch}"
        for (epoch, _, to_stage), (next_epoch, from_stage, _) in pairwise(moves)
        if next_epoch != epoch + 1 or from_stage != to_stage
    ]
    now, retention = timezone.now(), timedelta(days=Transition.KEEP_DAYS)
    nearly_expired = transitions.filter(at__lt=now - retention + timedelta(days=1))
    if moves and moves[0][0] > 1 and not nearly_expired.exists():
        gaps.append(f"{rollout}: before epoch {moves[0][0]}")
    is_history_expected = moves or rollout.stage_entered_at > now - retention
    last_epoch, _, last_stage = moves[-1] if moves else (0, "", Stage.DISABLED)
    if is_history_expected and (last_epoch, last_stage) != (rollout.epoch, rollout.stage):
        gaps.append(f"{rollout}: it is at epoch {rollout.epoch}, {rollout.stage}, which no transition reached")
    return gaps


@check("secrets_set", "machines", Suite.EXTENDED)
def secrets_set(view: View) -> Finding:
    """Count the secrets that are missing or still have the value of .env.example. Limit: 0."""
    wrong = []
    if settings.SECRET_KEY.startswith("replace-me"):
        wrong.append("SECRET_KEY has the value of .env.example")
    if EXAMPLE_TOKEN in settings.API_TOKENS:
        wrong.append("API_TOKENS contains the token of .env.example")
    if not settings.API_TOKENS:
        wrong.append("API_TOKENS is empty: no client can use the API")
    return judged(
        not wrong,
        f"{len(wrong)} settings",
        "0 settings",
        f"{len(wrong)} secrets are not set" if wrong else "the secrets are set",
        remedy="set them as .env.example describes, and restart every process",
        offending=wrong,
    )
