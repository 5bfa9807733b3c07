"""Preference sampling: chunks of the tape drawn by the return that the market made in them.

    w_i = (1 / KDE(R_i) if q5% <= R_i <= q95% else 1) * exp(beta * R_i)

R_i is the market's relative return over chunk i, KDE the Gaussian kernel density of all of them with Scott's
bandwidth, in units of their standard deviation, so that the 1 beside it does not depend on how long a chunk is. The
first factor makes common returns as likely as rare ones and holds the outermost back, the second prefers rising
markets where beta is positive and falling ones where it is negative.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.errors import TrainError

__all__ = ["density", "preference_weights"]

_LOW, _HIGH = 0.05, 0.95
_EXPONENT_MAX = 500.0  # beyond it only the greatest chunk would ever be drawn, and exp would overflow


def density(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[N]: the Gaussian kernel density of standardised returns [N] at each of them; ones where all are the same.

    Bandwidth: N^(-1/5) standard deviations of the sample (Scott 1992, for one dimension).
    """
    size = len(returns)
    spread = float(np.std(returns, ddof=1)) if size > 1 else 0.0
    if spread <= 1e-12 * max(1.0, float(np.abs(returns).max())):
        return np.ones(size)
    width = size**-0.2
    apart = (returns[:, None] - returns[None, :]) / (spread * width)
    made: NDArray[np.float64] = np.exp(-0.5 * apart * apart).sum(axis=1) / (size * width * np.sqrt(2.0 * np.pi))
    return made


def preference_weights(returns: NDArray[np.float64], beta: float) -> NDArray[np.float64]:
    """float64[N]: how likely each chunk is drawn; they add up to 1.

    Raises:
        TrainError: no returns, or one that is not finite.
    """
    returns = np.asarray(returns, np.float64)
    if returns.ndim != 1 or returns.size == 0 or not np.isfinite(returns).all():
        raise TrainError(f"expected at least one finite return, got {returns}")
    low, high = np.quantile(returns, [_LOW, _HIGH])
    common = (returns >= low) & (returns <= high)
    even = np.where(common, 1.0 / density(returns), 1.0)
    exponent = beta * returns
    made: NDArray[np.float64] = even * np.exp(np.clip(exponent - exponent.max(), -_EXPONENT_MAX, 0.0))
    made /= made.sum()
    return made
