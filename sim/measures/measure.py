"""`measure`: everything in the catalog of one market."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.errors import MeasureError
from lobgym.sim.instrument import Instrument
from lobgym.sim.market import Market
from lobgym.sim.measures import catalog as cat
from lobgym.sim.measures.bins import BIN_COUNT, count_bins
from lobgym.sim.measures.book import (
    BPS_UNIT,
    IMBALANCE_CELLS,
    QTY_UNIT,
    first_state_ns,
    mids_at,
    new_ladder_sums,
    sample_ladders,
    spread_by_time,
)
from lobgym.sim.measures.flow import FeedSums, PrintSums, new_feed_sums, new_print_sums, walk_feed, walk_prints
from lobgym.sim.measures.series import autocorrelation, clustered_means, log_returns_bps, moments
from lobgym.sim.measures.types import Curve, Distribution, Measures
from lobgym.sim.records import BBO
from lobgym.sim.tape import Tape

__all__ = ["PRINTS_MIN", "ROWS_MIN", "SPAN_MIN_NS", "measure"]

SPAN_MIN_NS: Final = 10_000_000_000
ROWS_MIN: Final = 100
PRINTS_MIN: Final = 10

_MS: Final = 1e-6  # of a nanosecond
_SECOND_STEPS: Final = 1_000_000_000 // cat.STEP_NS
_RETURN_UNIT: Final = 1e-4  # sizes of returns are counted in whole 1e-4 bps


class _Span(NamedTuple):
    """What is measured, and how quantities of it become base units."""

    market: Market
    start_ns: int
    end_ns: int
    unit: float  # base units of a lot; by the price where `per_tick` > 0
    per_tick: float

    @property
    def counted(self) -> float:
        """Base units of what quantities are counted in."""
        return QTY_UNIT if self.per_tick > 0 else self.unit


class _Parts(NamedTuple):
    scalars: dict[str, Any]
    distributions: dict[str, Distribution]
    curves: dict[str, Curve]


def measure(market: Market) -> Measures:
    """Measure a market, from the first stamp after which its book has two sides to the last row about book or prints.

    Raises:
        MeasureError: less than 10 s, 100 rows or 10 prints in that span; or a market of a compatibility profile.
    """
    if market.depth_only:
        raise MeasureError("measures need the book of the conservative profile: compile it with Market.compile")
    book = market.exch_view[0]
    span = _Span(market, int(first_state_ns(book)), _last_ns(market.tape), *_units(market.instrument))
    if span.start_ns < 0:
        raise MeasureError(_too_little(market, "no time", "10 s"))
    if span.end_ns - span.start_ns < SPAN_MIN_NS:
        raise MeasureError(_too_little(market, f"{(span.end_ns - span.start_ns) / 1e9:g} s with two sides", "10 s"))
    feed = new_feed_sums(len(market.exch.level_tick))
    walk_feed(book, market.tape.events, span.start_ns, span.end_ns, feed)
    if feed.totals[0] < ROWS_MIN:
        raise MeasureError(_too_little(market, f"{feed.totals[0]} rows", f"{ROWS_MIN} rows"))
    prints = new_print_sums(len(market.exch.prints))
    walk_prints(book, span.start_ns, span.unit, span.per_tick, prints)
    if prints.totals[0] < PRINTS_MIN:
        raise MeasureError(_too_little(market, f"{prints.totals[0]} prints", f"{PRINTS_MIN} prints"))
    parts = [_of_spread(span), _of_flow(span, feed, prints), _of_grid(span), _of_responses(span, prints)]
    instrument = market.instrument
    made = {name: part.distributions[name] for part in parts for name in part.distributions}
    curves = {name: part.curves[name] for part in parts for name in part.curves}
    return Measures(
        venue=instrument.venue, symbol=instrument.symbol, base=instrument.base, quote=instrument.quote,
        tape_digest=market.tape.digest, start_ns=span.start_ns, end_ns=span.end_ns,
        rows=int(feed.totals[0]), prints=int(prints.totals[0]), trade_events=int(prints.totals[1]),
        **{name: part.scalars[name] for part in parts for name in part.scalars},
        distributions={name: made[name] for name in cat.CATALOG if name in made},
        curves={name: curves[name] for name in cat.CATALOG if name in curves},
    )  # fmt: skip


def _last_ns(tape: Tape) -> int:
    """Stamp of the last row about the book or a print."""
    counts = tape.events["kind"] <= BBO
    return int(tape.events["exch_ns"][len(counts) - 1 - int(np.argmax(counts[::-1]))])


def _too_little(market: Market, got: str, wanted: str) -> str:
    one = market.instrument
    return (
        f"tape {market.tape.digest[:12]} of {one.venue} {one.symbol} has {got} from the first moment with a bid and an "
        f"ask on; measuring needs at least {wanted}: take a longer tape"
    )


def _units(instrument: Instrument) -> tuple[float, float]:
    """Base units of a lot, and what a tick is worth if that has to be divided by the price (else 0)."""
    unit = float(instrument.lot_size * instrument.contract_size)
    return unit, float(instrument.tick_size) if instrument.is_inverse else 0.0


def _bins() -> NDArray[np.int64]:
    return np.zeros(BIN_COUNT, np.int64)


def _of_spread(span: _Span) -> _Parts:
    ticks, bps, sums = _bins(), _bins(), np.zeros(3)
    pairs = int(spread_by_time(span.market.exch_view[0], span.end_ns, ticks, bps, sums))
    spreads = {
        "spread_ticks": Distribution.of_bins(ticks, 1.0, sums[1], pairs),
        "spread_bps": Distribution.of_bins(bps, BPS_UNIT, sums[2] * BPS_UNIT, pairs),
    }
    means = {"spread_mean_ticks": spreads["spread_ticks"].mean, "spread_mean_bps": spreads["spread_bps"].mean}
    whole = span.end_ns - span.start_ns
    return _Parts({**means, "one_sided_share": (whole - int(ticks.sum())) / whole}, spreads, {})


def _of_flow(span: _Span, feed: FeedSums, prints: PrintSums) -> _Parts:
    seconds = (span.end_ns - span.start_ns) / 1e9
    rows, depth_rows, stamps, crossed_ns, row_span = (int(value) for value in feed.totals)
    count, events = (int(value) for value in prints.totals)
    stamp = prints.ns[:events]
    trade_span = float(stamp[-1] - stamp[0]) * _MS  # the first print is a trade event's, and so is the last
    scalars = {
        "row_rate": rows / seconds,
        "trade_rate": count / seconds,
        "trade_event_rate": events / seconds,
        "print_size_mean": prints.qty_sum[0] / count,
        "print_size_mean_lots": prints.qty_sum[1] / count,
        "order_to_trade": depth_rows / count,
        "crossed_share": crossed_ns / (span.end_ns - span.start_ns),
    }
    distributions = {
        "row_gap_ms": Distribution.of_bins(feed.row_gaps, _MS, row_span * _MS, rows - 1),
        "stamp_gap_ms": Distribution.of_bins(feed.stamp_gaps, _MS, row_span * _MS, stamps - 1),
        "print_gap_ms": Distribution.of_bins(prints.print_gaps, _MS, trade_span, count - 1),
        "trade_gap_ms": Distribution.of_bins(prints.trade_gaps, _MS, trade_span, events - 1),
        "print_size_lots": Distribution.of_bins(prints.sizes, 1.0, prints.qty_sum[1], count),
        "print_size": Distribution.of_bins(prints.quantities, span.counted, prints.qty_sum[0], count, QTY_UNIT),
    }
    signs = prints.sign[:events].astype(np.float64)
    scalars = {name: float(value) for name, value in scalars.items()}
    return _Parts(scalars, distributions, {"sign_acf": autocorrelation(signs, cat.SIGN_LAGS)})


def _of_grid(span: _Span) -> _Parts:
    """What is sampled every STEP_NS from the start on."""
    book = span.market.exch_view[0]
    samples = (span.end_ns - span.start_ns) // cat.STEP_NS + 1
    mids = np.zeros(samples, np.int64)
    mids_at(book, span.start_ns + np.arange(samples) * cat.STEP_NS, mids)
    sums = new_ladder_sums(cat.DEPTH_LEVELS, samples)
    seen = int(sample_ladders(book, span.start_ns, cat.STEP_NS, samples, span.unit, span.per_tick, sums))
    depths = {
        f"{name}_depth_{k + 1}": Distribution.of_bins(
            sums.counts[side, k], span.counted, sums.qty_sum[side, k], seen, QTY_UNIT
        )
        for side, name in enumerate(("bid", "ask"))
        for k in range(cat.DEPTH_LEVELS)
    }
    imbalances = {}
    for which, levels in enumerate((1, 5)):
        cells = np.bincount(sums.cells[which][sums.cells[which] >= 0], minlength=IMBALANCE_CELLS)
        imbalances[f"imbalance_{levels}"] = Distribution.of_cells(cells, 100, sums.imbalance_sum[which])
    scalars: dict[str, Any] = {
        "top_depth_mean": float(sums.qty_sum[:, 0].sum() / (2 * seen)),
        "top_depth_mean_lots": float(sums.lots_sum.sum() / (2 * seen)),
    }
    for seconds in cat.RETURN_SECONDS:
        of_returns = moments(log_returns_bps(mids, seconds * _SECOND_STEPS))
        scalars[f"volatility_{seconds}s_bps"], scalars[f"kurtosis_{seconds}s"] = of_returns
    sizes = np.abs(log_returns_bps(mids, _SECOND_STEPS))
    counts = _bins()
    count_bins(np.rint(sizes / _RETURN_UNIT).astype(np.int64), counts)
    returns = Distribution.of_bins(counts, _RETURN_UNIT, float(sizes.sum()), len(sizes))
    curves = {"abs_return_acf": autocorrelation(sizes, cat.RETURN_LAGS)}
    for name, steps in cat.IMBALANCE_HORIZONS.items():
        curves[f"imbalance_response_{name}"] = _by_imbalance(mids, sums.cells[0], steps)
    return _Parts(scalars, {**depths, **imbalances, "abs_return_1s_bps": returns}, curves)


def _by_imbalance(mids: NDArray[np.int64], cells: NDArray[np.int32], steps: int) -> Curve:
    """Mean return of the mid over the next `steps` samples, by bucket of the imbalance at each sample."""
    buckets = cat.IMBALANCE_BUCKETS
    middles = [(2 * bucket + 1 - buckets) / buckets for bucket in range(buckets)]
    at = np.flatnonzero(cells[: max(len(mids) - steps, 0)] >= 0)
    bucket = cells[at].astype(np.int64) // (IMBALANCE_CELLS // buckets)
    moves = 1e4 * (mids[at + steps] - mids[at]) / mids[at]
    return clustered_means(middles, bucket, moves, at * cat.STEP_NS // cat.CLUSTER_NS)


def _of_responses(span: _Span, prints: PrintSums) -> _Parts:
    book = span.market.exch_view[0]
    events = int(prints.totals[1])
    stamp, sign = prints.ns[:events], prints.sign[:events]
    before, after = np.zeros(events, np.int64), np.zeros(events, np.int64)
    mids_at(book, stamp - 1, before)
    points, values, clusters = [], [], []
    for k, delay_ms in enumerate(cat.RESPONSE_MS):
        later = stamp + delay_ms * 1_000_000
        mids_at(book, later, after)
        kept = np.flatnonzero(later <= span.end_ns)
        points.append(np.full(len(kept), k))
        values.append(1e4 * sign[kept] * (after[kept] - before[kept]) / before[kept])
        clusters.append((stamp[kept] - span.start_ns) // cat.CLUSTER_NS)
    curve = clustered_means(cat.RESPONSE_MS, np.concatenate(points), np.concatenate(values), np.concatenate(clusters))
    return _Parts({}, {}, {"print_response": curve})
