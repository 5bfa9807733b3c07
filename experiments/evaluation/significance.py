"""Student's t and Holm's correction, in plain arithmetic of a fixed order.

The t distribution with whole degrees of freedom is a finite sum (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4), so
nothing is approximated; tails below 1e-12 are lost in rounding and reported as 1e-12.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from lobgym.experiments.evaluation.stats import fixed_mean

__all__ = ["TTest", "holm", "normal_quantile", "power_of", "student_quantile", "student_tail", "t_test"]

SMALLEST: Final = 1e-12
_TWO_VALUES: Final = 2


@dataclass(frozen=True)
class TTest:
    """A mean against 0.

    Attributes:
        t: mean / standard error; 0 where all values are equal to 0.
        p_above: chance of such a mean or a larger one if the true one were 0 (one-sided).
        low, high: the mean's two-sided interval at `level`.
    """

    mean: float
    sd: float
    stderr: float
    t: float
    p_above: float
    low: float
    high: float
    level: float
    count: int


def student_tail(t: float, freedom: int) -> float:
    """P(T > t) for T with `freedom` degrees of freedom, at least 1e-12."""
    if freedom < 1:
        raise ValueError(f"expected at least 1 degree of freedom, got {freedom}")
    inside = _within(abs(t), freedom)
    upper = max((1.0 - inside) / 2.0, SMALLEST)
    return upper if t >= 0.0 else 1.0 - upper


def _within(t: float, freedom: int) -> float:
    """P(|T| <= t)."""
    theta = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = freedom % 2 == 1
    term = total = cosine if odd else 1.0
    if freedom == 1:
        total = 0.0
    for k in range(_TWO_VALUES + 1 if odd else _TWO_VALUES, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return 2.0 / math.pi * (theta + sine * total) if odd else sine * total


def student_quantile(p: float, freedom: int) -> float:
    """The t that is exceeded with probability 1 - p, for p in (1e-9, 1 - 1e-9), by bisection."""
    if not 1e-9 < p < 1.0 - 1e-9:
        raise ValueError(f"expected a probability strictly within (1e-9, 1 - 1e-9), got {p}")
    low, high = -1e9, 1e9
    for _ in range(200):
        middle = (low + high) / 2.0
        if student_tail(middle, freedom) > 1.0 - p:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def normal_quantile(p: float) -> float:
    """The z that is exceeded with probability 1 - p."""
    return NormalDist().inv_cdf(p)


def t_test(values: Sequence[float], level: float = 0.99) -> TTest:
    """One-sided t test of the mean against 0, and its interval. Values that are all equal have p 1, or 1e-12 above 0.

    Raises:
        ValueError: fewer than two values, or one that is not finite.
    """
    if len(values) < _TWO_VALUES:
        raise ValueError(f"expected at least two values, got {len(values)}")
    mean, count = fixed_mean(values), len(values)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    stderr = sd / math.sqrt(count)
    if stderr == 0.0:
        return TTest(mean, 0.0, 0.0, 0.0, SMALLEST if mean > 0.0 else 1.0, mean, mean, level, count)
    t = mean / stderr
    reach = student_quantile((1.0 + level) / 2.0, count - 1) * stderr
    return TTest(mean, sd, stderr, t, student_tail(t, count - 1), mean - reach, mean + reach, level, count)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values (Holm 1979): rejecting those below a bound errs anywhere with at most that probability."""
    order = sorted(range(len(p_values)), key=lambda index: (p_values[index], index))
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def power_of(mean: float, sd: float, count: int, alpha: float) -> float:
    """Chance that a one-sided test at `alpha` over `count` values finds a true `mean`, normal approximation."""
    if sd <= 0.0:
        raise ValueError(f"expected a standard deviation above 0, got {sd}")
    return NormalDist().cdf(mean * math.sqrt(count) / sd - normal_quantile(1.0 - alpha))
