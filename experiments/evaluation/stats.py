"""Means and intervals over seeds that repeat to the last digit.

The sum behind a mean is exactly rounded (`math.fsum`), so it depends neither on the order of the values nor on the
processor. The bootstrap draws with the project's counter-based generator: the interval is a function of
(values, seed, resamples) alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lobgym.sim.jit import njit
from lobgym.sim.rng import below

__all__ = ["BOOTSTRAP_STREAM", "Interval", "bootstrap_interval", "fixed_mean", "max_drawdown", "quantile"]

BOOTSTRAP_STREAM: Final = 0x626F6F74  # "boot": keeps these draws apart from every other use of the same seed
RESAMPLES: Final = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean with a percentile bootstrap interval.

    Attributes:
        low, high: bounds at `level`; equal to the mean for one value, or for equal values.
        count: how many values were averaged.
    """

    mean: float
    low: float
    high: float
    level: float
    count: int


def fixed_mean(values: Sequence[float]) -> float:
    """Mean of one or more finite values, exactly rounded sum.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    if not values:
        raise ValueError("expected at least one value, got none")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"expected finite values, got {list(values)}")
    return math.fsum(values) / len(values)


def bootstrap_interval(
    values: Sequence[float], level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the mean (Efron 1979), quantiles interpolated linearly.

    With few seeds it is too narrow rather than too wide (at 5, nearer 85% than 95%): it shows the spread between seeds,
    it is not a test.

    Args:
        values: one figure per seed, at least one.
        level: coverage aimed at, in (0, 1).
        resamples: draws of the whole sample, at least 100.

    Raises:
        ValueError: an argument outside its range.
    """
    if not 0.0 < level < 1.0 or resamples < 100 or not 0 <= seed < 2**63:
        raise ValueError(
            f"expected 0 < level < 1, resamples >= 100 and 0 <= seed < 2^63, got {level}, {resamples} and {seed}"
        )
    mean = fixed_mean(values)
    sample = np.asarray(values, dtype=np.float64)
    means = np.empty(resamples, dtype=np.float64)
    _resample(seed, sample, means)
    means.sort()
    tail = (1.0 - level) / 2.0
    low, high = quantile(means, tail), quantile(means, 1.0 - tail)
    # Equal values may leave the resampled sum an ulp away from the exact one.
    return Interval(mean, min(low, mean), max(high, mean), level, len(values))


@njit
def _resample(seed: int, sample: np.ndarray, means: np.ndarray) -> None:
    """Fill means[r] with the mean of len(sample) values drawn with replacement; sums in order of drawing."""
    size = len(sample)
    counter = 0
    for r in range(len(means)):
        total = 0.0
        for _ in range(size):
            total += sample[below(seed, BOOTSTRAP_STREAM, counter, size)]
            counter += 1
        means[r] = total / size


def quantile(ordered: np.ndarray, fraction: float) -> float:
    """Quantile of one or more ascending values, interpolated linearly between two neighbours."""
    position = fraction * (len(ordered) - 1)
    left = math.floor(position)
    right = min(left + 1, len(ordered) - 1)
    weight = position - left
    return float(ordered[left]) * (1.0 - weight) + float(ordered[right]) * weight


def max_drawdown(equity: Sequence[int]) -> int:
    """Largest fall of a path below its running maximum, in the path's own unit (>= 0); the path starts at 0."""
    peak, worst = 0, 0
    for value in equity:
        peak = max(peak, int(value))
        worst = max(worst, peak - int(value))
    return worst
