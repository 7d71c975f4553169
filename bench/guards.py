"""Simulate how often the guards take back a candidate that is as good as control, and how soon they find a bad one.

The rules are the default policies. Formulas judge all runs at once (bench/_judged.py). `check` runs the shipped `judge`
at every look of some hundred visits, and asserts that the formulas find each violation at the same look.

make bench, or .venv/bin/python bench/guards.py [check|false|weeks|find]
"""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import bench._ground  # noqa: F401 - sets the environment
from bench import _peer_tests
from bench._judged import First, first_trips, first_violations, judge_run
from bench._stage import CLOSE_TO_LIMIT, FAR_FROM_LIMIT, LOOK_SECONDS, Counts, Scenario, simulate
from bench._week import Weeks, first_alarms
from rollout.choices import Consequence, Stage
from rollout.decisions.guards import ALPHA, Rule, guards_of
from rollout.decisions.judging import UNTESTED

RUNS, CHUNK = 10_000, 1_000
CHECKED_RUNS, CHECKED_HOURS = 150, 10  # visits per stage; of FULL_ACTIVE hours
FOUND_RUNS, WEEKS = 1_000, 2_000
REQUESTS = (1, 10, 50, 200)  # per second
ERRORS = (0.0, 0.001, 0.005, 0.02)
STAGES = (Stage.SHADOW_MODE, Stage.PARTIAL_ACTIVE)
SLIPWAY = "Slipway"
PEERS: dict[str, Callable[..., Counts]] = {
    "over 5 errors": _peer_tests.count_alone,
    "point estimates": _peer_tests.point_estimates,
    "frozen control": partial(_peer_tests.frozen_control, alpha=ALPHA),
    "GrowthBook 0.05": partial(_peer_tests.sequential, alpha=0.05),
    "GrowthBook 0.001": partial(_peer_tests.sequential, alpha=0.001),
    "chi-square 0.05": partial(_peer_tests.chi_square, alpha=0.05),
    "chi-square 0.001": partial(_peer_tests.chi_square, alpha=0.001),
}
Task = tuple[Scenario, Sequence[Rule], int, int]  # with the number of runs, and the seed


def default_rules(stage: Stage) -> list[Rule]:
    from rollout.operations.policies import DEFAULT_GUARDS

    guards = DEFAULT_GUARDS[stage].items()
    return [Rule(guard, default.at_most, default.min_samples, default.leads) for guard, default in guards]


def judge_chunk(task: Task) -> First:
    """Return the first look at which each guard, Slipway as a whole and each peer raises its alarm."""
    scenario, rules, runs, seed = task
    looks = simulate(scenario, runs, np.random.default_rng(seed))
    first = first_violations(looks, rules)
    binding = [first[rule.name] for rule in rules if rule.leads is not Consequence.WARN and rule.name in first]
    alarms = np.array([first_trips(looks), *binding])
    earliest = np.where(alarms > 0, alarms, scenario.looks + 1).min(axis=0)
    first["trip"] = alarms[0]
    first[SLIPWAY] = np.where(earliest > scenario.looks, 0, earliest)
    return first | {name: peer(looks) for name, peer in PEERS.items()}


def judge_all(scenarios: Sequence[Scenario], runs: int) -> Iterator[tuple[Scenario, First]]:
    """Yield the first alarms in `runs` visits of each scenario."""
    chunks = max(1, runs // CHUNK)
    tasks: list[Task] = [
        (scenario, default_rules(scenario.stage), runs // chunks, 1000 * number + chunk)
        for number, scenario in enumerate(scenarios)
        for chunk in range(chunks)
    ]
    with multiprocessing.get_context("fork").Pool() as pool:
        judged = pool.imap(judge_chunk, tasks)
        for scenario in scenarios:
            parts = [next(judged) for _ in range(chunks)]
            yield scenario, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def check_chunk(task: Task) -> tuple[int, int]:
    """Return how many verdicts were compared with the shipped `judge`, and how many of them were violations."""
    scenario, rules, runs, seed = task
    looks = simulate(scenario, runs, np.random.default_rng(seed))
    first = first_violations(looks, rules)
    shipped = [judge_run(looks, run, rules) for run in range(runs)]
    for name, alarms in first.items():
        assert alarms.tolist() == [each[name] for each in shipped], f"{name} differs in {scenario}"
    return sum(len(each) for each in first.values()), sum(int((each > 0).sum()) for each in first.values())


def check() -> None:
    """Assert that the formulas find what the shipped `judge` finds, in visits of which many end in a violation."""
    slower = replace(FAR_FROM_LIMIT, times=2.0)
    scenarios = [
        Scenario(stage, requests, errors, times=times, latencies=latencies)
        for stage in STAGES
        for requests, errors, times, latencies in (
            (1, 0.02, 4.0, CLOSE_TO_LIMIT),
            (10, 0.005, 4.0, slower),
            (50, 0.02, 1.5, replace(CLOSE_TO_LIMIT, times=1.5)),
        )
    ]
    hours = [
        Scenario(Stage.FULL_ACTIVE, 10, 0.02, times=1.5, hold_back=hold_back, latencies=slower) for hold_back in (0, 5)
    ]
    tasks = [(scenario, default_rules(scenario.stage), CHECKED_RUNS // 3, 7) for scenario in scenarios]
    tasks += [(scenario, default_rules(scenario.stage), CHECKED_HOURS, 7) for scenario in hours]
    with multiprocessing.get_context("fork").Pool() as pool:
        compared = pool.map(check_chunk, tasks, chunksize=1)
    visits = sum(task[2] for task in tasks)
    print(
        f"check: in {visits} visits the full judge, run at every look, and the formulas gave the same look for each of "
        f"{sum(each for each, _ in compared)} guards, of which {sum(each for _, each in compared)} were violated"
    )


def false_falls() -> None:
    """Print how often a candidate that is as good as control is taken back in a stage visit."""
    steady = [Scenario(stage, requests, errors) for stage in STAGES for errors in ERRORS for requests in REQUESTS]
    timed = [Scenario(stage, requests, 0.005, latencies=CLOSE_TO_LIMIT) for stage in STAGES for requests in REQUESTS]
    moving = [
        Scenario(stage, requests, errors, pattern)
        for stage in STAGES
        for pattern, errors in (("day and night", 0.005), ("half an hour", 0.001))
        for requests in REQUESTS
    ]
    print(f"\nfalse falls: {RUNS:,} visits each, a look every {LOOK_SECONDS} s; alpha {ALPHA}. The candidate is as")
    print("good as control; 4 % of its calls are over the limit of p95_ms (5 %), hit rate 75 %, mismatches 0.5 %.")
    print("count: the part of Slipway's that the count of the first 200 requests takes back. latency: false warnings.")
    print(row("stage", "errors", "per s", SLIPWAY, "count", "latency", *PEERS))
    for scenario, first in judge_all([*steady, *timed, *moving], RUNS):
        pattern = "" if scenario.pattern == "steady" else f", {scenario.pattern}"
        is_timed = scenario.latencies is CLOSE_TO_LIMIT or scenario.latencies == CLOSE_TO_LIMIT
        shares = [share(first[name]) for name in (SLIPWAY, "trip")]
        shares.append(share(first["latency"]) if is_timed else "")
        peers = [share(first[name]) for name in PEERS]
        print(
            row(scenario.stage.value, f"{scenario.errors:.1%}{pattern}", scenario.requests, *shares, *peers), flush=True
        )


def weeks() -> None:
    """Print how often a candidate that is as good as control is taken back in a week of FULL_ACTIVE."""
    cases = [
        ("without a hold-back, 10 per s, 0.5 % by day and night", Weeks(100, 0)),
        ("with a hold-back of 5 %, 10 per s, the same and half an hour of 2 % each day", Weeks(100, 5, has_burst=True)),
    ]
    rules = {rule.name: rule for rule in default_rules(Stage.FULL_ACTIVE)}
    limits = {name: rules[name].limit_share for name in ("p95_ms", "hit_rate", "error_rate")}
    print(f"\n{WEEKS:,} weeks of FULL_ACTIVE each; at most one false alarm a year, which is 1.9 % of weeks")
    with multiprocessing.get_context("fork").Pool() as pool:
        started = [
            (name, [pool.apply_async(week_chunk, (case, limits, seed)) for seed in range(4)]) for name, case in cases
        ]
        for name, parts in started:
            alarms = np.concatenate([part.get() for part in parts])
            print(f"{name}: {share(alarms)} of weeks with a false fall", flush=True)


def week_chunk(case: Weeks, limits: dict[str, float], seed: int) -> Counts:
    guards = guards_of(Stage.FULL_ACTIVE, has_hold_back=case.hold_back > 0)
    tested = sum(rule.guard in guards and rule.guard not in UNTESTED for rule in default_rules(Stage.FULL_ACTIVE))
    alarms = first_alarms(case, tested, limits, WEEKS // 4, seed)
    return np.asarray(np.max(list(alarms.values()), axis=0))


def find() -> None:
    """Print the share of bad candidates that is found within a stage visit, and the median time to it."""
    errors = [
        Scenario(stage, requests, 0.005, times=times)
        for stage in STAGES
        for times in (2.0, 4.0, 10.0)
        for requests in REQUESTS
    ]
    full = [
        Scenario(Stage.FULL_ACTIVE, 10, 0.005, times=times, hold_back=hold_back)
        for hold_back in (5, 0)
        for times in (2.0, 4.0, 10.0)
    ]
    print(f"\nfound, of {FOUND_RUNS:,} visits each; control has 0.5 % errors. FULL_ACTIVE: within an hour")
    print("the share that is found in the visit, and the median minutes to it")
    print(row("stage", "errors", "per s", SLIPWAY, "", "", *PEERS))
    for scenario, first in judge_all([*errors, *full], FOUND_RUNS):
        hold_back = f", hold-back {scenario.hold_back} %" if scenario.stage is Stage.FULL_ACTIVE else ""
        names = [SLIPWAY, *PEERS] if scenario.is_compared else [SLIPWAY, next(iter(PEERS))]
        cells = [found(first[name]) for name in names]
        cells[1:1] = ["", ""]
        print(row(scenario.stage.value, f"{scenario.times:g} x{hold_back}", scenario.requests, *cells), flush=True)
    slower = [
        Scenario(stage, requests, 0.005, latencies=replace(FAR_FROM_LIMIT, times=times))
        for stage in STAGES
        for times in (1.5, 2.0)
        for requests in REQUESTS
    ]
    print("\nslower: warned by the guard latency; control's median is 50 ms, its 95th percentile 200 ms")
    print(row("stage", "slower", "per s", "latency"))
    for scenario, first in judge_all(slower, FOUND_RUNS):
        times = f"{scenario.latencies.times:g} x"
        print(row(scenario.stage.value, times, scenario.requests, found(first["latency"])), flush=True)


def share(alarms: Counts) -> str:
    return f"{(alarms > 0).mean():.2%}"


def found(alarms: Counts) -> str:
    is_found = alarms > 0
    if not is_found.any():
        return "0 %"
    return f"{is_found.mean():.0%} {np.median(alarms[is_found]) * LOOK_SECONDS / 60:.1f}"


def row(stage: str, errors: str, *cells: Any) -> str:
    texts: Iterable[str] = (str(cell) for cell in cells)
    return f"{stage:15} {errors:20} " + " ".join(
        f"{text:>{16 if number > 3 else 10}}" for number, text in enumerate(texts)
    )


PARTS = {"check": check, "false": false_falls, "weeks": weeks, "find": find}

if __name__ == "__main__":
    import django

    django.setup()
    for part in sys.argv[1:] or PARTS:
        start = time.monotonic()
        PARTS[part]()
        print(f"({part}: {time.monotonic() - start:.0f} s)", flush=True)
