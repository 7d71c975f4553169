"""Is the candidate's error rate above control's? A test that may be looked at as often as one likes. Pure.

Control is a fixed sample: with confidence 1 - alpha / 2 its rate is at most `upper_bound` (Chernoff's bound,
inverted: Chernoff 1952, Ann. Math. Stat. 23:493-507; as in Garivier & Cappe 2011, COLT, the KL-UCB index). Against
that rate p0 the candidate's requests are a bet: a mixture of likelihood ratios of higher rates p1 over p0. Whatever
the candidate's rate, as long as it is not above p0, each request multiplies the expected ratio by 1 + (p - p0)(p1 -
p0) / (p0 (1 - p0)) <= 1, so the mixture exceeds 2 / alpha at any time with probability at most alpha / 2 (Ville
1939, Etude critique de la notion de collectif; Robbins 1970, Ann. Math. Stat. 41:1397-1409). Together: a false alarm
with probability at most alpha per run of the test, however often and whenever it is looked at. A window that rolls
begins a run with each step: what that costs is simulated in bench/guards.py.
"""

import math

MULTIPLES = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)  # of p0; what is looked for, with equal weights
STEPS = 60  # of bisection: to the last bit or so


def upper_bound(errors: int, requests: int, alpha: float) -> float:
    """What the rate behind this sample is at most, with confidence 1 - alpha; 1 where there is no sample."""
    if requests == 0:
        return 1.0
    rate, allowed = errors / requests, math.log(1 / alpha) / requests
    low, high = rate, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if divergence(rate, middle) <= allowed else (low, middle)
    return high


def divergence(p: float, q: float) -> float:
    """Kullback-Leibler, between Bernoulli distributions, in nats."""
    if q in (0.0, 1.0):
        return 0.0 if p == q else math.inf
    return (p * math.log(p / q) if p else 0.0) + ((1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0)


def evidence(errors: int, requests: int, p0: float) -> float:
    """The logarithm of the mixture of likelihood ratios: what there is against "the rate is at most p0"."""
    if not 0 < p0 < 1:
        return 0.0
    rates = [multiple * p0 for multiple in MULTIPLES if multiple * p0 < 1]
    if not rates:
        return 0.0
    good = requests - errors
    ratios = [errors * math.log(p1 / p0) + good * math.log((1 - p1) / (1 - p0)) for p1 in rates]
    most = max(ratios)
    return most + math.log(sum(math.exp(ratio - most) for ratio in ratios) / len(MULTIPLES))


def is_worse(errors: int, requests: int, control_errors: int, control_requests: int, alpha: float) -> bool:
    """Whether the candidate's rate is shown to be above control's, at level alpha."""
    p0 = upper_bound(control_errors, control_requests, alpha / 2)
    return evidence(errors, requests, p0) >= math.log(2 / alpha)
