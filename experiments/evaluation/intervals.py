"""The interquartile mean and its stratified bootstrap interval, the same digits on every machine.

Mean scores of few runs hang on single outliers, medians ignore most of the data; the mean of the middle half is what
Agarwal et al. (2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice) recommend, with percentile
intervals of resamples that draw runs anew within each task (stratum) and never across tasks. Sums are taken in
ascending order of the values, resamples are drawn by the project's counter-based generator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.experiments.evaluation.stats import RESAMPLES, quantile
from lobgym.sim.jit import njit
from lobgym.sim.rng import below

__all__ = ["IqmInterval", "apart", "iqm", "iqm_difference", "iqm_interval"]

IQM_STREAM: Final = 0x69716D73  # "iqms": keeps these draws apart from every other use of the same seed
_RESAMPLES_MIN: Final = 100

Strata = Sequence[float] | Mapping[Any, Sequence[float]]


@dataclass(frozen=True)
class IqmInterval:
    """An interquartile mean with a percentile bootstrap interval.

    Attributes:
        low, high: bounds at `level`.
        count: values in all strata.
        strata: how many strata.
    """

    iqm: float
    low: float
    high: float
    level: float
    count: int
    strata: int


def iqm(values: Sequence[float]) -> float:
    """Mean of the values left when the smallest and the largest quarter, rounded down, are cut off.

    Below four values nothing is cut off.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    if len(values) == 0:
        raise ValueError("expected at least one value, got none")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"expected finite values, got {list(values)}")
    ordered = sorted(float(value) for value in values)
    cut = len(ordered) // 4
    middle = ordered[cut : len(ordered) - cut]
    return math.fsum(middle) / len(middle)


def iqm_interval(strata: Strata, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0) -> IqmInterval:
    """Interquartile mean over all values, and its stratified bootstrap interval.

    Args:
        strata: one list of values, or one for each task; every resample has as many values of each task as there are.
        level: coverage aimed at, in (0, 1). With few runs it is too narrow rather than too wide.
        resamples: at least 100.

    Raises:
        ValueError: an argument outside its range, a stratum without values, a value that is not finite.
    """
    parts = list(strata.values()) if isinstance(strata, Mapping) else [strata]
    if not 0.0 < level < 1.0 or resamples < _RESAMPLES_MIN or not 0 <= seed < 2**63:
        raise ValueError(
            f"expected 0 < level < 1, resamples >= {_RESAMPLES_MIN} and 0 <= seed < 2^63, got {level}, {resamples} "
            f"and {seed}"
        )
    if not parts or any(len(part) == 0 for part in parts):
        raise ValueError(f"expected strata with values, got sizes {[len(part) for part in parts]}")
    values = [float(value) for part in parts for value in part]
    middle = iqm(values)
    first = np.cumsum([0] + [len(part) for part in parts]).astype(np.int64)
    found = np.empty(resamples, np.float64)
    _resample(seed, np.array(values, np.float64), first, found)
    found.sort()
    tail = (1.0 - level) / 2.0
    low, high = quantile(found, tail), quantile(found, 1.0 - tail)
    # Equal values may leave a resampled sum an ulp away from the exact one.
    return IqmInterval(middle, min(low, middle), max(high, middle), level, len(values), len(parts))


def iqm_difference(
    a: Sequence[float], b: Sequence[float], level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> IqmInterval:
    """Interquartile mean of a - b, paired by position (the same seed, the same episodes), and its interval.

    Raises:
        ValueError: sequences of different lengths; see `iqm_interval`.
    """
    if len(a) != len(b):
        raise ValueError(f"expected pairs, got {len(a)} and {len(b)} values")
    return iqm_interval([x - y for x, y in zip(a, b, strict=True)], level, resamples, seed)


def apart(above: IqmInterval, below: IqmInterval) -> bool:
    """Whether the first interval lies wholly above the second."""
    return above.low > below.high


@njit
def _resample(seed: int, values: NDArray[np.float64], first: NDArray[np.int64], found: NDArray[np.float64]) -> None:
    """Fill found[r] with the interquartile mean of a resample; stratum k is values[first[k] : first[k + 1]]."""
    size = len(values)
    cut = size // 4
    drawn = np.empty(size, np.float64)
    counter = 0
    for r in range(len(found)):
        for k in range(len(first) - 1):
            count = first[k + 1] - first[k]
            for i in range(first[k], first[k + 1]):
                drawn[i] = values[first[k] + below(seed, IQM_STREAM, counter, count)]
                counter += 1
        drawn.sort()
        total = 0.0
        for i in range(cut, size - cut):
            total += drawn[i]
        found[r] = total / (size - 2 * cut)
