"""What Avellaneda and Stoikov's market makers have to know of a market: A, k and sigma, from its training part.

**Intensity.** A quote that lies d ticks from the mid is met by market orders at the rate lambda(d) = A exp(-k d)
(Avellaneda and Stoikov 2008, section 2.4). The training part is cut into windows. At the start of each, a quote is
imagined at each of several depths on either side of the mid of that moment; it is met by the first print at its price
or beyond, or the window ends. The estimate at one depth is the maximum likelihood one of an exponential waiting time
that is cut off: quotes met, over seconds waited. ln A and k then follow from a straight line through ln lambda, each
depth weighted by its count, which is what one over the variance of its logarithm is.

The depths begin at the median half spread: nearer to the mid nobody can be met less often. What stands before a quote
at its price is ignored, so A is that of an order that is alone there.

**Volatility.** sigma is the root mean square of the mid's change over a second, in ticks.

Sums are `math.fsum`, exact and so the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.errors import CalibrationError
from lobgym.sim.market import Market
from lobgym.sim.mids import quoted_mid2
from lobgym.sim.params import SimParams, default_params
from lobgym.sim.records import BUY
from lobgym.sim.view import best_ask, best_bid, cursor_at

__all__ = ["Calibration", "Intensity", "calibrate", "fit_intensity", "mids2_at", "sigma_of", "times_waited"]

DEPTHS: Final = 12
HITS_MIN: Final = 20  # of a depth, to count in the fit
POINTS_MIN: Final = 3  # depths with that many
WINDOW_NS: Final = 1_000_000_000
_WINDOWS_MIN: Final = 30
_HIGH: Final = 0.95  # quantile of the windows' deepest prints that the depths end at
_NS: Final = 1e9


@dataclass(frozen=True)
class Intensity:
    """lambda(d) = rate_per_s * exp(-decay_per_tick * d), for one quote on one side.

    Attributes:
        r2: share of the weighted variance of ln lambda that the line explains.
        depths_ticks, rates_per_s, hits: what the line was drawn through.
    """

    rate_per_s: float
    decay_per_tick: float
    r2: float
    depths_ticks: tuple[float, ...]
    rates_per_s: tuple[float, ...]
    hits: tuple[int, ...]

    def at(self, depth_ticks: float) -> float:
        """Quotes met per second at this depth."""
        return self.rate_per_s * math.exp(-self.decay_per_tick * depth_ticks)


@dataclass(frozen=True)
class Calibration:
    """The training part in numbers.

    Attributes:
        low_ns, high_ns: the part. window_ns: how long an imagined quote stood.
        mid_ticks: its first mid. half_spread_ticks: median at the windows' starts.
        sigma_ticks: of one second.
        intensity: see there.
        maker_fee_ticks, taker_fee_ticks: the venue's fees on one trade at `mid_ticks`, as a distance in price.
    """

    low_ns: int
    high_ns: int
    window_ns: int
    mid_ticks: float
    half_spread_ticks: float
    sigma_ticks: float
    intensity: Intensity
    maker_fee_ticks: float
    taker_fee_ticks: float

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


def calibrate(
    market: Market, low_ns: int, high_ns: int, params: SimParams | None = None, window_ns: int = WINDOW_NS
) -> Calibration:
    """Calibrate on what reached the trader in [low_ns, high_ns], the training part; nothing else is read.

    Args:
        params: the venue, for its fees; those of the tape by default.
        window_ns: at best the time for which a quote stands: the interval of the desk.

    Raises:
        CalibrationError: too short a part, a book that is not two-sided, too few prints for a line, or a line that
            does not fall.
    """
    if window_ns < 1 or (high_ns - low_ns) // window_ns < _WINDOWS_MIN:
        raise CalibrationError(
            f"calibration needs at least {_WINDOWS_MIN} windows of {window_ns} ns, [{low_ns}, {high_ns}] has "
            f"{max(0, high_ns - low_ns) // max(1, window_ns)}"
        )
    starts = np.arange(low_ns, high_ns - window_ns + 1, window_ns, dtype=np.int64)
    mids2 = mids2_at(market, starts)
    if not (mids2 > 0).any():
        raise CalibrationError("the book is never two-sided at the start of a window: choose another part of the tape")
    spreads = _spreads(market, starts[mids2 > 0])
    half_spread = float(np.median(spreads)) / 2.0
    waits, window, depth = _prints(market, starts, mids2, window_ns)
    if len(depth) < HITS_MIN:
        raise CalibrationError(f"{len(depth)} prints lie in the training part, at least {HITS_MIN} are needed")
    deepest = np.full(2 * len(starts), -np.inf)
    np.maximum.at(deepest, window, depth)
    high = float(np.quantile(deepest[np.isfinite(deepest)], _HIGH))
    depths = np.linspace(half_spread, max(high, half_spread + 1.0), DEPTHS)
    hits, waited = times_waited(window, waits, depth, depths, 2 * int((mids2 > 0).sum()), window_ns / _NS)
    seconds = np.arange(low_ns, high_ns + 1, 1_000_000_000, dtype=np.int64)
    mid = float(mids2[mids2 > 0][0]) / 2.0
    fees = market.instrument.fee_table(*_fees(params or default_params(market.tape)))
    return Calibration(
        low_ns=low_ns,
        high_ns=high_ns,
        window_ns=window_ns,
        mid_ticks=mid,
        half_spread_ticks=half_spread,
        sigma_ticks=sigma_of(mids2_at(market, seconds)),
        intensity=fit_intensity(depths, hits, waited),
        maker_fee_ticks=float(fees[0, 1]) * 1e-9 * mid,
        taker_fee_ticks=float(fees[0, 2]) * 1e-9 * mid,
    )


def times_waited(
    quote: NDArray[np.int64],
    waits_s: NDArray[np.float64],
    depth: NDArray[np.float64],
    depths: NDArray[np.float64],
    quotes: int,
    window_s: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Quotes met and seconds waited at each depth.

    Args:
        quote: int64[P], which window and side a print belongs to.
        waits_s: float64[P], its time since the window began. depth: float64[P], its distance from the window's mid.
        depths: float64[K], ticks. quotes: how many there were at each depth. window_s: how long each stood at most.

    Returns:
        int64[K] and float64[K].
    """
    hits, waited = np.zeros(len(depths), np.int64), np.zeros(len(depths))
    size = int(quote.max()) + 1 if len(quote) else 0
    for k, wanted in enumerate(depths):
        reached = depth >= wanted
        first = np.full(size, np.inf)
        np.minimum.at(first, quote[reached], waits_s[reached])
        met = first[np.isfinite(first)]
        hits[k] = len(met)
        waited[k] = math.fsum(met.tolist()) + (quotes - len(met)) * window_s
    return hits, waited


def fit_intensity(
    depths: Sequence[float] | NDArray[np.float64], hits: NDArray[np.int64], waited_s: NDArray[np.float64]
) -> Intensity:
    """The line through ln(hits / waited) by weighted least squares, weights being the hits.

    Raises:
        CalibrationError: fewer than 3 depths with 20 hits each, or quotes further away that are met as often.
    """
    enough = [k for k in range(len(depths)) if hits[k] >= HITS_MIN]
    if len(enough) < POINTS_MIN:
        raise CalibrationError(
            f"{len(enough)} depths were met {HITS_MIN} times or more, a line needs {POINTS_MIN}: calibrate on a longer "
            "part of the tape"
        )
    x = [float(depths[k]) for k in enough]
    y = [math.log(int(hits[k]) / float(waited_s[k])) for k in enough]
    w = [float(hits[k]) for k in enough]
    total = math.fsum(w)
    mean_x = math.fsum(a * b for a, b in zip(w, x, strict=True)) / total
    mean_y = math.fsum(a * b for a, b in zip(w, y, strict=True)) / total
    sxx = math.fsum(a * (b - mean_x) ** 2 for a, b in zip(w, x, strict=True))
    sxy = math.fsum(a * (b - mean_x) * (c - mean_y) for a, b, c in zip(w, x, y, strict=True))
    syy = math.fsum(a * (c - mean_y) ** 2 for a, c in zip(w, y, strict=True))
    if not sxy < 0.0 < sxx:
        raise CalibrationError("quotes further from the mid are met as often as near ones: there is no k")
    slope = sxy / sxx
    return Intensity(
        rate_per_s=math.exp(mean_y - slope * mean_x),
        decay_per_tick=-slope,
        r2=sxy * sxy / (sxx * syy),
        depths_ticks=tuple(x),
        rates_per_s=tuple(math.exp(value) for value in y),
        hits=tuple(int(hits[k]) for k in enough),
    )


def sigma_of(mids2: NDArray[np.int64]) -> float:
    """Root mean square of the changes between neighbours that are both two-sided, in ticks.

    Raises:
        CalibrationError: no two such neighbours.
    """
    both = (mids2[1:] > 0) & (mids2[:-1] > 0)
    changes = np.diff(mids2)[both]
    if not len(changes):
        raise CalibrationError("no two neighbouring seconds have a mid: choose another part of the tape")
    squares = sum(int(change) ** 2 for change in changes)
    return math.sqrt(squares / len(changes)) / 2.0


def mids2_at(market: Market, times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[N]: twice the mid in ticks as it had arrived at each time, 0 where the book lacked a side."""
    book = market.local_view[0]
    return np.array([quoted_mid2(book, cursor_at(book, int(t))) for t in times_ns], np.int64)


def _spreads(market: Market, times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    book = market.local_view[0]
    cursors = [cursor_at(book, int(t)) for t in times_ns]
    return np.array([best_ask(book, cursor) - best_bid(book, cursor) for cursor in cursors], np.int64)


def _prints(
    market: Market, starts: NDArray[np.int64], mids2: NDArray[np.int64], window_ns: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Of each print in a window with a mid: seconds since its start, twice the window plus the side, depth in ticks."""
    prints = market.local.prints
    ns = market.local.ns[prints["row"]]
    inside = (ns > starts[0]) & (ns <= starts[-1] + window_ns)
    prints, ns = prints[inside], ns[inside]
    window = (ns - starts[0] - 1) // window_ns  # a window holds what comes after its start, up to the next one's
    quoted = mids2[window] > 0
    prints, ns, window = prints[quoted], ns[quoted], window[quoted]
    buys = prints["side"] == BUY
    away2 = np.where(buys, 2 * prints["tick"] - mids2[window], mids2[window] - 2 * prints["tick"])
    return (ns - starts[window]) / _NS, 2 * window + buys, away2 / 2.0


def _fees(params: SimParams) -> tuple[int | None, int | None]:
    return params.maker_fee_ppb, params.taker_fee_ppb
