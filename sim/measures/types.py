"""What measuring a market gives: figures, distributions, curves. Plain data, frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.measures.bins import bounds, coarse_bins

__all__ = ["QUANTILES", "Curve", "Distribution", "Measures", "finite"]

QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def finite(value: float) -> float | None:
    """The value, or None where it is not a number: JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True, eq=False)
class Distribution:
    """A weighted histogram of K occupied bins, with the mean of the values before they were binned.

    Attributes:
        values: float64[K], ascending: the middle of each bin, in the measure's unit.
        weights: int64[K], how often each was seen, or for how many nanoseconds it stood.
        coarse: int64[K], the coarse bin that each fine one belongs to; the same numbers mean the same values on
            every tape.
        mean: weighted mean of the values as measured, not as binned.
        count: how many values were measured.
    """

    values: NDArray[np.float64]
    weights: NDArray[np.int64]
    coarse: NDArray[np.int64]
    mean: float
    count: int

    @classmethod
    def of_bins(
        cls, counts: NDArray[np.int64], scale: float, total: float, count: int, lattice: float | None = None
    ) -> Distribution:
        """Of int64[BIN_COUNT] fine bins of integers.

        Args:
            scale: what 1 of these integers is worth in the measure's unit.
            total: weighted sum of the values as measured, in that unit.
            lattice: whole multiples of it are what coarse bins are made of; `scale`, unless tapes differ in that.
        """
        bins = np.flatnonzero(counts)
        low, high = bounds(bins)
        values = (low + (high - low) / 2.0) * scale
        coarse = coarse_bins(np.rint(values / (lattice or scale)))
        return cls(values, counts[bins], coarse, _ratio(total, int(counts.sum())), count)

    @classmethod
    def of_cells(cls, counts: NDArray[np.int64], per_coarse: int, total: float) -> Distribution:
        """Of int64[n] equal cells from -1 to 1, `per_coarse` of them to a coarse one; `total` as in `of_bins`."""
        cells = np.flatnonzero(counts)
        values = (cells * 2 + 1 - len(counts)).astype(np.float64) / float(len(counts))
        return cls(values, counts[cells], cells // per_coarse, _ratio(total, int(counts.sum())), int(counts.sum()))

    @property
    def std(self) -> float:
        """Standard deviation of the binned values, NaN where there are none."""
        if len(self.values) < 2:
            return 0.0 if len(self.values) else math.nan
        share = self.weights / self.weights.sum()
        mean = (share * self.values).sum()
        return math.sqrt((share * (self.values - mean) ** 2).sum())

    def quantile(self, q: float) -> float:
        """The smallest binned value that at least the share `q` of the weight does not exceed; NaN of nothing."""
        if not len(self.values):
            return math.nan
        total = np.cumsum(self.weights)
        at = int(np.searchsorted(total, q * int(total[-1]), side="left"))
        return float(self.values[min(at, len(self.values) - 1)])

    def to_json(self) -> dict[str, Any]:
        """Plain data: count, mean, std, quantiles; None for what does not exist."""
        return {
            "count": self.count,
            "mean": finite(self.mean),
            "std": finite(self.std),
            "quantiles": {f"{q:g}": finite(self.quantile(q)) for q in QUANTILES},
        }


def _ratio(total: float, weight: int) -> float:
    return total / weight if weight else math.nan


@dataclass(frozen=True, eq=False)
class Curve:
    """P points with standard errors.

    Attributes:
        x: float64[P], what it is drawn over: a lag, a delay, the middle of a bucket.
        y: float64[P], NaN where nothing was measured.
        se: float64[P], standard error of y; NaN where there is too little for one.
        count: int64[P], how many values each point is made of.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    se: NDArray[np.float64]
    count: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """Plain data; None for what does not exist."""
        return {
            "x": self.x.tolist(),
            "y": [finite(value) for value in self.y],
            "se": [finite(value) for value in self.se],
            "count": self.count.tolist(),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Measures:
    """What one market is like. Each scalar is described in the catalog; None where the tape is too short for it.

    Attributes:
        venue, symbol, base, quote, tape_digest: whose measures these are.
        start_ns, end_ns: the span that was measured, on the exchange's clock (docs/compare.md).
        rows, prints, trade_events: how many of each lie in it.
        distributions, curves: by their names in the catalog.
    """

    venue: str
    symbol: str
    base: str
    quote: str
    tape_digest: str
    start_ns: int
    end_ns: int
    rows: int
    prints: int
    trade_events: int

    spread_mean_ticks: float = field(metadata={"scalar": True})
    spread_mean_bps: float = field(metadata={"scalar": True})
    top_depth_mean: float = field(metadata={"scalar": True})
    top_depth_mean_lots: float = field(metadata={"scalar": True})
    row_rate: float = field(metadata={"scalar": True})
    trade_rate: float = field(metadata={"scalar": True})
    trade_event_rate: float = field(metadata={"scalar": True})
    print_size_mean: float = field(metadata={"scalar": True})
    print_size_mean_lots: float = field(metadata={"scalar": True})
    order_to_trade: float = field(metadata={"scalar": True})
    volatility_1s_bps: float | None = field(metadata={"scalar": True})
    volatility_10s_bps: float | None = field(metadata={"scalar": True})
    volatility_60s_bps: float | None = field(metadata={"scalar": True})
    kurtosis_1s: float | None = field(metadata={"scalar": True})
    kurtosis_10s: float | None = field(metadata={"scalar": True})
    kurtosis_60s: float | None = field(metadata={"scalar": True})
    one_sided_share: float = field(metadata={"scalar": True})
    crossed_share: float = field(metadata={"scalar": True})

    distributions: Mapping[str, Distribution]
    curves: Mapping[str, Curve]

    @property
    def span_s(self) -> float:
        """Length of the measured span in seconds."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def scalars(self) -> dict[str, float | None]:
        """The scalars by name, in the catalog's order."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.metadata.get("scalar")}

    def source(self) -> dict[str, Any]:
        """Whose measures these are, and how much was measured; plain data."""
        names = (
            "venue",
            "symbol",
            "base",
            "quote",
            "tape_digest",
            "start_ns",
            "end_ns",
            "rows",
            "prints",
            "trade_events",
        )
        return {name: getattr(self, name) for name in names} | {"span_s": self.span_s}

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data, distributions as summaries."""
        return {
            "source": self.source(),
            **self.scalars,
            **{name: one.to_json() for name, one in self.distributions.items()},
            **{name: one.to_json() for name, one in self.curves.items()},
        }
