"""The evidence against a candidate: e-values, which may be looked at as often as one likes. Pure.

Each function returns the logarithm of an e-value: a number whose expectation is at most 1 while the hypothesis holds.
A process of e-values exceeds 1 / alpha at any time with probability at most alpha (Ville 1939, Etude critique de la
notion de collectif). So the hypothesis is rejected as soon as the logarithm reaches log(1 / alpha).

Both tests of a share are one formula. Let x of n trials be bad, and let q be the largest share that the hypothesis
allows. The alternatives multiply the odds of q by m, so they stay below 1 for every q. The likelihood ratio of one
alternative is m^x / (1 + (m - 1) q)^n. If the true share is p <= q, each trial multiplies its expectation by
(1 + (m - 1) p) / (1 + (m - 1) q) <= 1. The evidence is the mean over MULTIPLES (Robbins 1970, Ann. Math. Stat.
41:1397-1409, mixtures). The closest alternative is a quarter above q, so a small share less than an eighth above q
is never shown to be above it, however large the sample is.

Against a limit, the trials are requests. Against control, the trials are the bad requests of both arms, and each of
them is the candidate's or control's (Lindon and Malek 2020, arXiv:2011.03567). The rate of control may change from
slot to slot, and no bound of it is needed.
"""

import math
from collections.abc import Sequence

MULTIPLES = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)  # of the odds, with equal weights
State = tuple[float, ...]  # a logarithm for each of MULTIPLES; JSON stores it as a list
NO_EVIDENCE: State = (0.0,) * len(MULTIPLES)
ASSIGNMENT_ALARM = math.log(1000)  # of assignment_evidence: a false alarm in at most one of 1,000 rollouts

_RAISED = tuple((math.log(multiple), multiple - 1) for multiple in MULTIPLES)


def limit_evidence(bad: int, total: int, p0: float) -> float:
    """Return the logarithm of the evidence against "the share of bad requests is at most p0".

    bad, total: counts since the test began, up to 1e9. An empty sample has the evidence 0.
    p0: a share. At 0 a single bad request refutes the hypothesis: the evidence is infinite. At 1 or more no request
        can, so the evidence is never above 0.
    """
    return log_mean(limit_ratios(bad, total, p0))


def limit_ratios(bad: int, total: int, p0: float) -> State:
    """Return the logarithm of the likelihood ratio of each alternative to "the share is at most p0"."""
    if p0 <= 0:
        return (math.inf if bad else 0.0,) * len(MULTIPLES)
    share = min(p0, 1.0)
    return tuple([bad * log_m - total * math.log1p(excess * share) for log_m, excess in _RAISED])


def add_slot(
    state: Sequence[float], bad: int, total: int, control_bad: int, control_total: int, tolerance: float
) -> State:
    """Return the evidence with one closed slot added, against "the candidate's rate is at most tolerance x control's".

    state: the evidence before the slot; NO_EVIDENCE at first.
    bad, total: the candidate's requests in the slot; control_bad, control_total: control's.
    tolerance: a ratio above 0. At 1, the candidate may be as bad as control.

    A slot changes nothing if one arm has no request, or if neither arm has a bad one. The split of the traffic may
    change from slot to slot, but must not depend on the results of the same slot. The requests of a slot need not be
    alike: because 1 + u <= exp(u), the expectation of the ratio is at most
    exp((m - 1) (1 - q) n_c (p_c - tolerance p_k) / (1 + (m - 1) q)). Here p_c and p_k are the mean rates of the arms,
    n_c and n_k their numbers of requests, and q = tolerance n_c / (tolerance n_c + n_k).
    Source: as in Hoeffding 1963, J. Am. Stat. Assoc. 58:13-30.
    """
    if not total or not control_total:
        return tuple(state)
    ratios = control_ratios(bad, total, control_bad, control_total, tolerance)
    return tuple([before + ratio for before, ratio in zip(state, ratios, strict=True)])


def control_ratios(bad: int, total: int, control_bad: int, control_total: int, tolerance: float) -> State:
    """Return the logarithm of the likelihood ratio of each alternative, from the bad requests of one slot.

    total, control_total: both are above 0.
    """
    share = tolerance * total / (tolerance * total + control_total)  # of the bad requests that are the candidate's
    return limit_ratios(bad, bad + control_bad, share)


def log_evidence(state: Sequence[float]) -> float:
    """Return the logarithm of the evidence in this state."""
    return log_mean(state)


def assignment_evidence(counts: Sequence[int], shares: Sequence[float], k: float = 100) -> float:
    """Return the logarithm of the evidence against "the arms were assigned with these shares".

    It is the ratio of a Dirichlet-multinomial distribution around the shares to the multinomial one. The alarm is
    raised at ASSIGNMENT_ALARM. The evidence of steps with other shares is added up.

    counts: units that were assigned independently of each other, such as targeting keys, by arm.
    shares: the policy's shares by arm, which add up to 1. A unit in an arm of share 0 is infinite evidence.
    k: how close the alternatives are to the shares; a larger k is more sensitive to small differences in a large
        sample. With 1e9 units the result is exact to 1e-5.
    Source: Lindon and Malek 2020, arXiv:2011.03567.
    """
    if any(count and not share for count, share in zip(counts, shares, strict=True)):
        return math.inf
    evidence = math.lgamma(k) - math.lgamma(k + sum(counts))
    for count, share in zip(counts, shares, strict=True):
        if share:
            evidence += math.lgamma(k * share + count) - math.lgamma(k * share) - count * math.log(share)
    return evidence


def log_mean(logarithms: Sequence[float]) -> float:
    """Return the logarithm of the mean of the numbers with these logarithms, which may be infinite."""
    largest = max(logarithms)  # taken out of the sum, which would overflow otherwise
    if math.isinf(largest):
        return largest
    return largest + math.log(sum([math.exp(logarithm - largest) for logarithm in logarithms]) / len(logarithms))
