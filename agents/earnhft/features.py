"""What the published choice of features did, so that its effect can be measured: `Corrections.causal_features` off.

Features were ranked by their information coefficient, the rank correlation with the return that follows, over the whole
file, test part included; and a return of the future was among the candidates. Here that candidate is a column of its
own, `leaked_return_60s`, registered by importing this module. Nothing else in this package may read the future: the
check of `lobgym.sim.causality` refuses this column, and a test holds it to that.

Corrected, the features are those that the config names, chosen without looking at any tape.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.earnhft.config import EarnHftConfig
from lobgym.agents.errors import TrainError
from lobgym.sim.desk import Desk
from lobgym.sim.jit import njit
from lobgym.sim.market import Market
from lobgym.sim.mids import last_quoted_mid2, quoted_mid2
from lobgym.sim.observation import register_column
from lobgym.sim.view import cursor_at, seek_forward
from lobgym.sim.world import lane_at, local_of

__all__ = ["LEAK", "choose_features", "information_coefficients"]

LEAK: Final = "leaked_return_60s"
AHEAD_NS: Final = 60_000_000_000
_TIMES: Final = 2_000  # at which features are looked at


@njit
def _leaked_return(w: Any, i: int) -> float:
    """The mid's return over the next minute, bps: what nobody can know."""
    local = local_of(w)
    lane = lane_at(w, i)
    now = quoted_mid2(local, lane["local_cursor"])
    then = quoted_mid2(local, seek_forward(local, lane["local_cursor"], lane["t_ns"] + AHEAD_NS))
    return 1e4 * (then - now) / now if now > 0 and then > 0 else 0.0


register_column(LEAK, "bps", 10.0, _leaked_return, about="the next minute's return: a leak, for comparison only")


def information_coefficients(values: NDArray[Any], returns: NDArray[Any]) -> NDArray[np.float64]:
    """float64[C]: Spearman's rank correlation of each of the columns [T, C] with returns [T]; 0 for a constant one.

    Raises:
        TrainError: different lengths, or fewer than two rows.
    """
    if len(values) != len(returns) or len(returns) < 2:
        raise TrainError(f"expected as many returns as rows, two at least, got {len(returns)} and {len(values)}")
    wanted = _ranks(np.asarray(returns, np.float64))
    made = np.zeros(values.shape[1])
    for column in range(values.shape[1]):
        ranks = _ranks(np.asarray(values[:, column], np.float64))
        spread = float(np.sqrt((ranks * ranks).sum() * (wanted * wanted).sum()))
        made[column] = float((ranks * wanted).sum()) / spread if spread > 0.0 else 0.0
    return made


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks less their mean; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - 0.5 * (counts - 1))[place]
    ranks -= ranks.mean()
    return ranks


def choose_features(config: EarnHftConfig, market: Market) -> EarnHftConfig:
    """The config with the features that training uses: its own, or uncorrected those that the leak chooses.

    Raises:
        TrainError: a tape too short to look ahead.
    """
    if config.corrections.causal_features or LEAK in config.columns:
        return config
    candidates = (*config.columns, LEAK)
    spec = config.spec_of(market, candidates)
    low, high = market.start_ns + spec.layout.lookback_ns, market.end_ns - AHEAD_NS
    if high - low < _TIMES:
        raise TrainError(f"a tape of {(market.end_ns - market.start_ns) / 1e9:g} s is too short to choose features")
    times = low + (high - low) // (_TIMES - 1) * np.arange(_TIMES, dtype=np.int64)  # a float is too coarse for them
    desk = Desk(spec, market, _TIMES)
    desk.reset(times, 0)
    observed = desk.observe()[:, [spec.layout.names.index(name) for name in candidates]]
    book = market.local_view[0]
    mids = [[last_quoted_mid2(book, cursor_at(book, int(t)), 0) for t in row] for row in (times, times + AHEAD_NS)]
    then, now = np.array(mids[1], np.float64), np.array(mids[0], np.float64)
    strength = np.abs(information_coefficients(observed, then / now - 1.0))
    best = np.argsort(-strength, kind="stable")[: len(config.columns)]
    return config.replace(columns=tuple(candidates[k] for k in sorted(best.tolist())))
