"""Returns, autocorrelations and conditional means of series in numpy arrays. Sums run in one fixed order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.jit import njit_lean
from lobgym.sim.measures.types import Curve

__all__ = ["autocorrelation", "clustered_means", "log_returns_bps", "moments"]


def log_returns_bps(mids: NDArray[np.int64], every: int) -> NDArray[np.float64]:
    """float64: log returns in bps of every `every`-th of int64[n] mids."""
    taken = mids[::every].astype(np.float64)
    returns: NDArray[np.float64] = 1e4 * np.log(taken[1:] / taken[:-1])
    return returns


def moments(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Standard deviation and kurtosis m4 / m2^2 of a population; None of fewer than two, or without variance."""
    if len(values) < 2:
        return None, None
    away = values - values.mean()
    m2 = float((away**2).mean())
    return math.sqrt(m2), float((away**4).mean()) / (m2 * m2) if m2 > 0 else None


@njit_lean
def _sums_of_products(away: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """out[k] = sum of away[n] * away[n + k]."""
    for k in range(out.shape[0]):
        total = 0.0
        for n in range(away.shape[0] - k):
            total += away[n] * away[n + k]
        out[k] = total


def autocorrelation(values: NDArray[np.float64], lags: int) -> Curve:
    """r(k) = sum_n (v[n] - m)(v[n+k] - m) / sum_n (v[n] - m)^2 for k = 1 to `lags`.

    Its standard error is 1 / sqrt(N), that of a series without memory (Bartlett 1946). NaN where there are fewer than
    k + 2 values, or no variance.
    """
    size = len(values)
    sums = np.zeros(lags + 1)
    if size:
        _sums_of_products(values - values.mean(), sums)
    k = np.arange(1, lags + 1)
    there = (size >= k + 2) & (sums[0] > 0)
    y = np.where(there, sums[1:] / (sums[0] if sums[0] > 0 else 1.0), np.nan)
    se = np.where(there, 1.0 / math.sqrt(max(size, 1)), np.nan)
    return Curve(k.astype(np.float64), y, se, np.maximum(size - k, 0).astype(np.int64))


def clustered_means(
    x: Sequence[float], point: NDArray[np.int64], value: NDArray[np.float64], cluster: NDArray[np.int64]
) -> Curve:
    """Mean of the values of each point, with a standard error that holds where values of one cluster depend.

    With S_g and n_g the sum and number of a point's values in cluster g, n their number in all, m their mean and G the
    number of clusters that have any: se^2 = G / (G - 1) * sum_g (S_g - m n_g)^2 / n^2 (Liang and Zeger 1986). NaN
    where G < 2.

    Args:
        point: int64[n], index into x, of each value.
        cluster: int64[n], from 0.
    """
    points = len(x)
    blocks = int(cluster.max()) + 1 if len(cluster) else 1
    key = point * blocks + cluster
    sums = np.bincount(key, weights=value, minlength=points * blocks).reshape(points, blocks)
    sizes = np.bincount(key, minlength=points * blocks).reshape(points, blocks)
    count = sizes.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums.sum(axis=1) / count
        groups = (sizes > 0).sum(axis=1).astype(np.float64)
        spread = ((sums - mean[:, None] * sizes) ** 2).sum(axis=1)
        se = np.sqrt(groups / (groups - 1.0) * spread) / count
    se[groups < 2] = np.nan
    return Curve(np.asarray(x, np.float64), mean, se, count.astype(np.int64))
