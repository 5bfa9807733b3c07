"""Validation time in segments of one trend each, sorted into labels from falling to rising.

The mids are filtered by a Butterworth low-pass that runs forwards and backwards, so nothing is shifted. The filtered
price is cut wherever its return changes sign; a segment that is too short joins the neighbour that it resembles more,
shortest first. Each segment's slope is that of a least-squares line, and quantiles of the slopes are the labels' edges.

The filter looks ahead, and the edges know all segments: labels decide which agent is kept, on data that nothing was
learnt from. They are never an input of a policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from lobgym.agents.earnhft.parts import BARS_MIN, Span
from lobgym.agents.errors import TrainError
from lobgym.sim.jit import njit_lean
from lobgym.sim.market import Market
from lobgym.sim.measures.book import mids_at

if TYPE_CHECKING:
    from lobgym.agents.earnhft.config import TournamentSettings

__all__ = [
    "Segment",
    "cut_at_turns",
    "find_segments",
    "labels_of",
    "low_pass",
    "merge_short",
    "normalised_dtw",
    "slope",
]

_BPS: Final = 1e4


@dataclass(frozen=True)
class Segment:
    """A stretch of one trend.

    Attributes:
        low_ns, high_ns: from when to when.
        slope: of the mid, basis points a second.
        label: 0 falls most.
    """

    low_ns: int
    high_ns: int
    slope: float
    label: int

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def find_segments(market: Market, span: Span, settings: TournamentSettings) -> tuple[Segment, ...]:
    """The segments of a span, one after the other without gaps.

    Raises:
        TrainError: the span has too few bars.
    """
    times = np.arange(span.low_ns, span.high_ns + 1, settings.bar_ns, dtype=np.int64)
    mids2 = np.zeros(len(times), np.int64)
    mids_at(market.local_view[0], times, mids2)
    if len(times) < BARS_MIN or mids2[0] <= 0:
        raise TrainError(
            f"a span of {span.length_ns / 1e9:g} s has {len(times)} bars of {settings.bar_ns / 1e9:g} s, quoted from "
            f"the first one on: {bool(mids2[0] > 0)}; expected at least {BARS_MIN}, quoted: take a longer part"
        )
    prices = mids2.astype(np.float64)
    smooth = low_pass(prices, settings.order, settings.cutoff_ns / settings.bar_ns)
    least = -(-settings.segment_ns // settings.bar_ns)
    cuts = merge_short(smooth, cut_at_turns(smooth), least)
    slopes = [slope(prices[low : high + 1]) / (settings.bar_ns / 1e9) for low, high in pairwise(cuts)]
    labels = labels_of(slopes, settings.labels)
    return tuple(
        Segment(int(times[cuts[k]]), int(times[cuts[k + 1]]), slopes[k], int(labels[k])) for k in range(len(slopes))
    )


def low_pass(prices: NDArray[np.float64], order: int, period: float) -> NDArray[np.float64]:
    """A Butterworth low-pass, forwards and backwards: float64[n].

    Args:
        prices: [n].
        order: of the filter in each direction.
        period: what is shorter is damped by more than half its power in each direction; in bars, above 2.

    Raises:
        TrainError: the period is no longer than two bars.
    """
    from scipy import signal

    if period <= 2.0:
        raise TrainError(f"a low-pass needs a cutoff of more than two bars, got {period:g}: raise cutoff_ns")
    b, a = signal.butter(order, 2.0 / period)
    padding = min(3 * max(len(a), len(b)), len(prices) - 1)
    filtered: NDArray[np.float64] = signal.filtfilt(b, a, prices, padlen=padding)
    return filtered


def cut_at_turns(smooth: NDArray[np.float64]) -> list[int]:
    """Indices where a series [n] turns from rising to falling or back, 0 and n - 1 too; what is flat turns nothing."""
    cuts, direction = [0], 0
    for k, change in enumerate(np.sign(np.diff(smooth))):
        if change != 0 and direction not in (0, change):
            cuts.append(k)
        if change != 0:
            direction = change
    return [*cuts, len(smooth) - 1]


def merge_short(smooth: NDArray[np.float64], cuts: Sequence[int], least: int) -> list[int]:
    """Merge segments of fewer than `least` bars into a neighbour, the shortest first, of equals the earliest.

    It joins the neighbour that is nearer by `normalised_dtw` of the two paths, each in basis points of its own begin;
    of two equally near ones the earlier. Where only one segment is left, it stays as short as it is.
    """
    kept = np.array(cuts, np.int64)
    path = _Paths(smooth)
    while len(kept) > 2:
        lengths = np.diff(kept)
        k = int(np.argmin(lengths))
        if lengths[k] >= least:
            break
        own = path(kept[k], kept[k + 1])
        left = normalised_dtw(own, path(kept[k - 1], kept[k])) if k > 0 else np.inf
        right = normalised_dtw(own, path(kept[k + 1], kept[k + 2])) if k + 2 < len(kept) else np.inf
        kept = np.delete(kept, k if left <= right else k + 1)
    return [int(cut) for cut in kept]


class _Paths:
    """Stretches of a series in basis points of where they begin."""

    def __init__(self, series: NDArray[np.float64]) -> None:
        self._series = series

    def __call__(self, low: int, high: int) -> NDArray[np.float64]:
        piece = self._series[low : high + 1]
        made: NDArray[np.float64] = (piece / piece[0] - 1.0) * _BPS
        return made


def normalised_dtw(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Dynamic time warping: the least sum of |left_i - right_j| over all warping paths, divided by n + m."""
    row = np.empty(len(right), np.float64)
    return float(_warp(left, right, row)) / (len(left) + len(right))


@njit_lean
def _warp(left: NDArray[np.float64], right: NDArray[np.float64], row: NDArray[np.float64]) -> float:
    """The sum; `row` is working space [m]: the best sums that end at each of `right`."""
    for i in range(left.shape[0]):
        corner = 0.0  # row[j - 1] before this i
        for j in range(right.shape[0]):
            above = row[j]
            if i == 0:
                best = row[j - 1] if j > 0 else 0.0
            elif j == 0:
                best = above
            else:
                best = min(above, corner, row[j - 1])
            row[j] = abs(left[i] - right[j]) + best
            corner = above
    return float(row[right.shape[0] - 1])


def slope(prices: NDArray[np.float64]) -> float:
    """Slope of the least-squares line through prices [n], n >= 2, in basis points of the first one per bar."""
    x = np.arange(len(prices), dtype=np.float64)
    x -= x.mean()
    y = (prices / prices[0] - 1.0) * _BPS
    return float((x * (y - y.mean())).sum() / (x * x).sum())


def labels_of(slopes: Sequence[float], labels: int) -> NDArray[np.int64]:
    """int64[n]: the quantile of each slope, 0 to labels - 1; a slope on an edge belongs above it."""
    values = np.asarray(slopes, np.float64)
    edges = np.quantile(values, np.arange(1, labels) / labels)
    return np.searchsorted(edges, values, side="right").astype(np.int64)
