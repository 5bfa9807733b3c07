"""Fits to the training part: what is observed there, linear forecasts of the mid, and when trading on one pays.

A forecast is a ridge regression of the mid's change over a horizon, in bps, on observed columns, at every decision of
the training part. Its thresholds are those of a few quantiles of |forecast| at which the rule would have earned most
on the mids of the training part itself, each trade costing the half spread and the taker fee. Sums are `math.fsum`,
and the normal equations are solved in one fixed order, so that a fit has the same bits everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.baselines.calibration import mids2_at
from lobgym.agents.baselines.forecasts import Forecast
from lobgym.agents.errors import CalibrationError
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout

__all__ = [
    "MARKET_COLUMNS",
    "SIDED_COLUMNS",
    "fit_forecast",
    "observed",
    "pick_threshold",
    "ridge",
    "rule_pnl",
    "spread_times",
]

# Columns of the default layouts that look at the market alone: what a linear forecast may read.
MARKET_COLUMNS: Final = (
    "spread", "imbalance_1", "imbalance_5", "pressure_5", "microprice", "return_1s", "return_5s", "return_30s",
    "natr_14", "trade_flow_1s", "trade_flow_5s", "volume_1s", "activity",
)  # fmt: skip
# Of these the ones that change their sign with the market's sides: one alone can say where it goes.
SIDED_COLUMNS: Final = (
    "imbalance_1", "imbalance_5", "pressure_5", "microprice", "return_1s", "return_5s", "return_30s", "trade_flow_1s",
    "trade_flow_5s",
)  # fmt: skip
SAMPLES_MAX: Final = 20_000
_SAMPLES_MIN: Final = 100
_LANES: Final = 256
_QUANTILES: Final = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998)


def observed(market: Market, columns: Sequence[str], times_ns: NDArray[np.int64]) -> NDArray[np.float32]:
    """float32[N, D]: what a desk without position or orders observes at each time; a seek each, no replay."""
    layout = ObservationLayout(tuple(columns))
    desk = Desk(DeskSpec.for_market(market, "target", layout=layout), market, _LANES)
    out = np.empty((len(times_ns), layout.size), np.float32)
    for first in range(0, len(times_ns), _LANES):
        block = times_ns[first : first + _LANES]
        desk.reset(np.concatenate([block, np.full(_LANES - len(block), block[-1])]))
        out[first : first + len(block)] = desk.observe()[: len(block)]
    return out


def spread_times(low_ns: int, high_ns: int, count: int) -> NDArray[np.int64]:
    """int64[count] from `low_ns` to `high_ns`, both included, evenly; a float would lose their last digits."""
    gaps = max(1, count - 1)
    return np.array([low_ns + (high_ns - low_ns) * place // gaps for place in range(count)], np.int64)


def fit_forecast(
    market: Market, columns: Sequence[str], low_ns: int, high_ns: int, interval_ns: int, cost_bps: float,
    horizon_ns: int = 10_000_000_000, penalty: float = 1e-3, single: bool = False,
) -> Forecast:  # fmt: skip
    """Fit on [low_ns, high_ns], the training part; the mid is looked up nowhere else.

    Args:
        columns: to choose from; with `single` the one that explains most is taken, else all are.
        interval_ns: between two decisions; long parts are thinned to 20,000 samples.
        cost_bps: of one trade of the whole position.
        penalty: of the squared weights, times the number of samples.

    Raises:
        CalibrationError: fewer than 100 decisions fit.
    """
    room = high_ns - horizon_ns - low_ns
    step = interval_ns * max(1, -(-room // (interval_ns * SAMPLES_MAX)))
    times = np.arange(low_ns, high_ns - max(horizon_ns, step) + 1, step, dtype=np.int64)
    if len(times) < _SAMPLES_MIN:
        raise CalibrationError(f"{len(times)} decisions fit into the training part, a fit needs {_SAMPLES_MIN}")
    now = mids2_at(market, times)
    then, soon = (mids2_at(market, times + later) for later in (horizon_ns, step))
    known = (now > 0) & (then > 0) & (soon > 0)
    if int(known.sum()) < _SAMPLES_MIN:
        raise CalibrationError(f"{int(known.sum())} decisions have a mid, a fit needs {_SAMPLES_MIN}")
    rows = observed(market, columns, times[known]).astype(np.float64)
    wanted = (then - now)[known] / now[known] * 1e4
    moves = (soon - now)[known] / now[known] * 1e4
    chosen = list(range(len(columns)))
    if single:
        explained = [ridge(rows[:, [j]], wanted, penalty)[2] for j in chosen]
        chosen = [int(np.argmax(explained))]
    weights, intercept, r2 = ridge(rows[:, chosen], wanted, penalty)
    expected = np.full(len(wanted), intercept)
    for weight, j in zip(weights, chosen, strict=True):
        expected = expected + weight * rows[:, j]
    enter, enter_pnl = pick_threshold(expected, moves, cost_bps, band=False)
    hold, hold_pnl = pick_threshold(expected, moves, cost_bps, band=True)
    return Forecast(
        tuple(columns[j] for j in chosen), tuple(weights), intercept, horizon_ns, enter, hold, cost_bps,
        enter_pnl, hold_pnl, len(wanted), r2,
    )  # fmt: skip


def ridge(
    rows: NDArray[np.float64], wanted: NDArray[np.float64], penalty: float
) -> tuple[tuple[float, ...], float, float]:
    """Weights, intercept and r2 of the least squares with `penalty` * N * sum of squared weights; by Cholesky."""
    count, size = rows.shape
    means = [math.fsum(rows[:, j].tolist()) / count for j in range(size)]
    mean = math.fsum(wanted.tolist()) / count
    centred, left = rows - np.array(means), wanted - mean
    gram = [[_dot(centred[:, i], centred[:, j]) + penalty * count * (i == j) for j in range(size)] for i in range(size)]
    right = [_dot(centred[:, i], left) for i in range(size)]
    factor = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = gram[i][j] - math.fsum(factor[i][k] * factor[j][k] for k in range(j))
            factor[i][j] = math.sqrt(rest) if i == j else rest / factor[j][j]
    half = [0.0] * size
    for i in range(size):
        half[i] = (right[i] - math.fsum(factor[i][k] * half[k] for k in range(i))) / factor[i][i]
    weights = [0.0] * size
    for i in reversed(range(size)):
        weights[i] = (half[i] - math.fsum(factor[k][i] * weights[k] for k in range(i + 1, size))) / factor[i][i]
    residual = left.copy()
    for j in range(size):
        residual = residual - weights[j] * centred[:, j]
    total = _dot(left, left)
    r2 = 1.0 - _dot(residual, residual) / total if total > 0.0 else 0.0
    intercept = mean - math.fsum(weight * average for weight, average in zip(weights, means, strict=True))
    return tuple(weights), intercept, r2


def pick_threshold(
    expected: NDArray[np.float64], moves: NDArray[np.float64], cost_bps: float, band: bool
) -> tuple[float | None, float]:
    """The threshold that earned most, and how much; None and 0 where none earned anything."""
    best: tuple[float | None, float] = (None, 0.0)
    for threshold in np.quantile(np.abs(expected), _QUANTILES):
        earned = rule_pnl(expected, moves, cost_bps, float(threshold), band)
        if earned > best[1]:
            best = float(threshold), earned
    return best


def rule_pnl(
    expected: NDArray[np.float64], moves: NDArray[np.float64], cost_bps: float, threshold: float, band: bool
) -> float:
    """PnL in bps of positions -1, 0, 1 by the threshold, from flat to flat; each unit traded costs `cost_bps`."""
    position = (expected > threshold).astype(np.int64) - (-expected > threshold)
    if band:
        last = np.maximum.accumulate(np.where(position != 0, np.arange(len(position)), -1))
        position = np.where(last >= 0, position[np.maximum(last, 0)], 0)
    traded = int(np.abs(np.diff(np.concatenate([[0], position, [0]]))).sum())
    return math.fsum((position * moves).tolist()) - cost_bps * traded


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return math.fsum((a * b).tolist())
