"""The teacher: values of every position and action for somebody who knows the future.

    Q*_t(p, a) = r_t(p -> a) + gamma * max_a' Q*_{t+1}(a, a'),   Q*_T = 0,
    r_t(p -> a) = cash and fees of the trade + a's value at t + 1 - p's value at t.

A trade that the visible book did not reach is forbidden (minus infinity). What it says of the last decisions is
shortsighted, so a lesson looks further ahead than it is used. With gamma = 1 and nothing left out, `clairvoyant` is
the greatest gain of any sequence of these positions: an upper bound, named for what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.earnhft.prices import NEVER, HindsightPrices
from lobgym.agents.errors import TrainError
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.jit import njit_lean
from lobgym.sim.market import Market

__all__ = ["Clairvoyant", "clairvoyant", "rewards_of", "teach"]


def rewards_of(prices: HindsightPrices, scale: float) -> NDArray[np.float64]:
    """float64[T, P, A]: `scale` times the money of every decision at every position; -inf where it is forbidden."""
    gained = prices.trades + prices.values[1:, None, :] - prices.values[:-1, :, None]
    made: NDArray[np.float64] = np.where(prices.trades == NEVER, -np.inf, gained * scale)
    return made


def teach(prices: HindsightPrices, gamma: float, scale: float, keep: int | None = None) -> NDArray[np.float32]:
    """float32[keep, P, A]: Q* of the first `keep` decisions (default: all), in units of `scale` times money.

    Raises:
        TrainError: more to keep than there are decisions.
    """
    keep = prices.steps if keep is None else keep
    if not 1 <= keep <= prices.steps:
        raise TrainError(f"expected to keep 1 to {prices.steps} decisions, got {keep}")
    size = len(prices.lots)
    out = np.empty((keep, size, size), np.float32)
    _backward(prices.values, prices.trades, gamma, scale, np.zeros((2, size)), out)
    return out


@dataclass(frozen=True)
class Clairvoyant:
    """What the best sequence of positions would have earned.

    Attributes:
        pnl_units: from no position on, the last one marked at the mid, money units.
        codes: int64[T]: the sequence, as targets of the desk.
    """

    pnl_units: int
    codes: NDArray[np.int64]


def clairvoyant(market: Market, spec: DeskSpec, start_ns: int, steps: int) -> Clairvoyant:
    """The best of all sequences of `steps` decisions from `start_ns` on, knowing the future.

    Raises:
        TrainError: see `HindsightPrices.of`; or a desk without the target 0.
    """
    if 0 not in spec.target_lots:
        raise TrainError(f"the desk cannot be flat, its targets are {spec.targets}: add 0")
    prices = HindsightPrices.of(market, spec, start_ns, steps)
    codes = np.empty(steps, np.int64)
    best = np.empty((steps + 1, len(prices.lots)), np.int64)
    pnl = _best_path(prices.values, prices.trades, spec.target_lots.index(0), best, codes)
    return Clairvoyant(int(pnl), codes)


@njit_lean
def _backward(
    values: NDArray[np.int64], trades: NDArray[np.int64], gamma: float, scale: float, ahead: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    """ahead: [2, P], zeros: the best that each position is worth at the next decision, and at this one."""
    steps, positions, actions = trades.shape
    for t in range(steps - 1, -1, -1):
        for p in range(positions):
            best = -np.inf
            for a in range(actions):
                q = -np.inf
                if trades[t, p, a] != NEVER:
                    q = (trades[t, p, a] + values[t + 1, a] - values[t, p]) * scale + gamma * ahead[0, a]
                best = max(best, q)
                if t < out.shape[0]:
                    out[t, p, a] = q
            ahead[1, p] = best
        for p in range(positions):
            ahead[0, p] = ahead[1, p]


@njit_lean
def _best_path(
    values: NDArray[np.int64], trades: NDArray[np.int64], flat: int, best: NDArray[np.int64], codes: NDArray[np.int64]
) -> int:
    """In whole units; of equally good positions the one that is held already, then the first. best: [T + 1, P]."""
    steps, positions, actions = trades.shape
    for p in range(positions):
        best[steps, p] = values[steps, p]
    for t in range(steps - 1, -1, -1):
        for p in range(positions):
            best[t, p] = best[t + 1, p]  # to stay costs nothing
            for a in range(actions):
                if trades[t, p, a] != NEVER:
                    best[t, p] = max(best[t, p], trades[t, p, a] + best[t + 1, a])
    held = flat
    for t in range(steps):
        if best[t, held] != best[t + 1, held]:
            for a in range(actions):
                if trades[t, held, a] != NEVER and trades[t, held, a] + best[t + 1, a] == best[t, held]:
                    held = a
                    break
        codes[t] = held
    return int(best[0, flat])
