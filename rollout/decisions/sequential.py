"""A test whether the candidate's error rate is above control's. It may be evaluated as often as one likes. Pure.

Control is a fixed sample: with confidence 1 - alpha / 2 its rate is at most `upper_bound` (Chernoff's bound,
inverted: Chernoff 1952, Ann. Math. Stat. 23:493-507; as in Garivier & Cappe 2011, COLT, the KL-UCB index). Against
that rate p0 the candidate's requests are a bet: a mixture of likelihood ratios of higher rates p1 over p0. If the
candidate's rate p is not above p0, each request multiplies the expected ratio by 1 + (p - p0)(p1 - p0) / (p0 (1 - p0))
<= 1, so the mixture exceeds 2 / alpha at any time with probability at most alpha / 2 (Ville 1939, Etude critique de la
notion de collectif; Robbins 1970, Ann. Math. Stat. 41:1397-1409). Together: the probability of a false alarm is at
most alpha per run of the test, no matter how often and when it is evaluated. A window that rolls begins a new
run with each step; bench/guards.py simulates what that costs.
"""

import math

MULTIPLES = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)  # the alternatives p1, as multiples of p0, with equal weights
STEPS = 60  # of the bisection, which then is exact to about the last bit


def upper_bound(errors: int, requests: int, alpha: float) -> float:
    """Return the upper confidence bound of the rate behind this sample, with confidence 1 - alpha.

    The bound is 1 if the sample is empty.
    """
    if requests == 0:
        return 1.0
    rate, allowed = errors / requests, math.log(1 / alpha) / requests
    low, high = rate, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if divergence(rate, middle) <= allowed else (low, middle)
    return high


def divergence(p: float, q: float) -> float:
    """Return the Kullback-Leibler divergence between two Bernoulli distributions, in nats."""
    if q in (0.0, 1.0):
        return 0.0 if p == q else math.inf
    of_errors = p * math.log(p / q) if p > 0 else 0.0
    of_successes = (1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0
    return of_errors + of_successes


def evidence(errors: int, requests: int, p0: float) -> float:
    """Return the logarithm of the mixture of likelihood ratios: the evidence against "the rate is at most p0"."""
    if not 0 < p0 < 1:
        return 0.0
    rates = [multiple * p0 for multiple in MULTIPLES if multiple * p0 < 1]
    if not rates:
        return 0.0
    successes = requests - errors
    ratios = [errors * math.log(p1 / p0) + successes * math.log((1 - p1) / (1 - p0)) for p1 in rates]
    largest = max(ratios)  # taken out of the sum, which would overflow otherwise
    return largest + math.log(sum(math.exp(ratio - largest) for ratio in ratios) / len(MULTIPLES))


def is_worse(errors: int, requests: int, control_errors: int, control_requests: int, alpha: float) -> bool:
    """Return whether the candidate's error rate is shown to be above control's, at level alpha."""
    p0 = upper_bound(control_errors, control_requests, alpha / 2)
    return evidence(errors, requests, p0) >= math.log(2 / alpha)
