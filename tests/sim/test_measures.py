"""Goal: every measure is what docs/compare.md says.

Method: a plain-Python brute force over states (`tests/sim/reference_measures.py`) on small random tapes with crossed
depth, empty sides, resets and equal stamps; and tapes by hand whose figures are known without it.
"""

from __future__ import annotations

import math
from functools import cache
from random import Random

import numpy as np
import pytest

from lobgym.sim import records as rec
from lobgym.sim.compile_depth import compile_depth_market
from lobgym.sim.errors import MeasureError
from lobgym.sim.instrument import SYNTH, Instrument, find_instrument
from lobgym.sim.market import Market
from lobgym.sim.measures import CATALOG, Curve, Distribution, Measures, measure
from lobgym.sim.measures.bins import BIN_COUNT, bounds, coarse_bins, count_bins
from lobgym.sim.measures.catalog import RESPONSE_MS
from lobgym.sim.tape import Tape
from tests.sim.oracle import Message, tape_of
from tests.sim.reference_measures import Point, RefMeasures, Summary, bin_bounds, correlation, deviation, everything

S, MS = 1_000_000_000, 1_000_000
T0 = 1_700_000_000 * S
BUY, SELL = rec.BUY, rec.SELL
EXACT = 1e-12


def random_tape(seed: int, seconds: int = 130, messages: int = 500, instrument: Instrument = SYNTH) -> Tape:
    """A walk of a small book with everything that a feed can do to it."""
    chance = Random(seed)
    middle = 5000
    made: list[Message] = []

    def level(kind: int) -> tuple[int, int, int, int, int]:
        side = chance.choice((BUY, SELL))
        distance = chance.choice((-1, 0, 1, 1, 1, 2, 2, 3, 5, 9, 14))
        lots = chance.choice((0, 1, 2, 5, 40, 700, 1500, 3_000_000))
        return kind, side, middle - side * distance, lots, 0

    def snapshot() -> list[tuple[int, int, int, int, int]]:
        sides = chance.choice(((BUY, SELL), (BUY, SELL), (BUY,)))
        rows = [(rec.SNAPSHOT, side, middle - side * k, chance.randrange(1, 2000), 0) for side in sides for k in (1, 2)]
        return [(rec.CLEAR, 0, 0, 0, 0), *rows]

    stamps = sorted(T0 + chance.randrange(seconds * 1000) * MS for _ in range(messages))
    for n, ns in enumerate([T0, *stamps]):
        what = chance.random()
        middle = max(100, middle + chance.choice((0, 0, 0, -1, 1)))
        if n == 0 or what < 0.02:
            rows = snapshot()
        elif what < 0.55:
            rows = [level(rec.DEPTH) for _ in range(chance.randrange(1, 6))]
        elif what < 0.65:
            _, side, tick, lots, _ = level(rec.BBO)
            rows = [(rec.BBO, side, tick, lots, 0)]
        elif what < 0.7:
            rows = [(rec.MARK, 0, 0, 5 * 10**10, 0)]
        else:
            side = chance.choice((BUY, SELL))
            rows = [(rec.TRADE, side, middle + chance.choice((0, side, side)), chance.choice((1, 3, 90, 2000)), 0)]
        made.append((ns, ns, rows))
    return tape_of(made, instrument)


CASES = [(1, "SYNTH"), (2, "SYNTH"), (3, "inverse"), (4, "BTCUSDT")]


@cache
def case(seed: int, kind: str) -> tuple[Measures, RefMeasures]:
    instrument = {
        "SYNTH": SYNTH,
        "inverse": find_instrument("binance-coinm", "BTCUSD_PERP"),
        "BTCUSDT": find_instrument("binance-spot", "BTCUSDT"),
    }[kind]
    tape = random_tape(seed, instrument=instrument)
    return measure(Market.compile(tape)), RefMeasures(tape)


def agree(ours: Distribution, theirs: Summary, scale: float) -> None:
    """Every bin exactly; the mean of the values themselves to twelve digits."""
    assert ours.count == theirs.count
    assert ours.mean == pytest.approx(theirs.mean, rel=EXACT, abs=EXACT, nan_ok=True)
    bins = sorted(theirs.bins.items())
    assert ours.weights.tolist() == [weight for _, weight in bins]
    assert ours.values == pytest.approx([(low + high) / 2 * scale for (low, high), _ in bins], rel=EXACT)


def agree_points(ours: Curve, theirs: list[Point]) -> None:
    assert ours.count.tolist() == [point.count for point in theirs]
    assert ours.y == pytest.approx([point.y for point in theirs], rel=1e-9, abs=1e-9, nan_ok=True)
    assert ours.se == pytest.approx([point.se for point in theirs], rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(("seed", "kind"), CASES)
def test_scalars_are_those_of_brute_force(seed: int, kind: str) -> None:
    ours, reference = case(seed, kind)
    expected = everything(reference.tape)
    assert set(ours.scalars) == set(expected)
    assert 0 < ours.one_sided_share < 1
    assert 0 < ours.crossed_share < 1
    for name, value in expected.items():
        assert getattr(ours, name) == pytest.approx(value, rel=EXACT if "tosis" not in name else 1e-10), name


@pytest.mark.parametrize(("seed", "kind"), CASES)
def test_distributions_are_those_of_brute_force(seed: int, kind: str) -> None:
    ours, reference = case(seed, kind)
    spreads = reference.spreads()
    agree(ours.distributions["spread_ticks"], spreads[0], 1.0)
    agree(ours.distributions["spread_bps"], spreads[1], 1e-6)
    scale = 1e-8 if kind == "inverse" else reference.lot
    for name, side in (("bid", BUY), ("ask", SELL)):
        for k in range(10):
            agree(ours.distributions[f"{name}_depth_{k + 1}"], reference.depth(side, k), scale)
    for levels in (1, 5):
        cells, mean = reference.imbalance(levels)
        one = ours.distributions[f"imbalance_{levels}"]
        assert one.mean == pytest.approx(mean, rel=EXACT)
        assert one.weights.tolist() == [weight for _, weight in sorted(cells.items())]
        assert one.values == pytest.approx([-1 + (cell + 0.5) / 1000 for cell in sorted(cells)], rel=EXACT)
        assert one.coarse.tolist() == [cell // 100 for cell in sorted(cells)]
    stamps = {
        "row_gap_ms": reference.row_ns,
        "stamp_gap_ms": sorted(set(reference.row_ns)),
        "print_gap_ms": [one.ns for one in reference.prints],
        "trade_gap_ms": [ns for ns, _ in reference.trades],
    }
    for name, given in stamps.items():
        agree(ours.distributions[name], reference.gaps(given), 1e-6)


@pytest.mark.parametrize(("seed", "kind"), CASES)
def test_sizes_of_prints_and_returns_are_those_of_brute_force(seed: int, kind: str) -> None:
    ours, reference = case(seed, kind)
    lots = [one.lots for one in reference.prints]
    agree(ours.distributions["print_size_lots"], Summary(*_summary(lots, lots)), 1.0)
    whole = [reference.whole(one.lots, one.tick) for one in reference.prints]
    base = [reference.base(one.lots, one.tick) for one in reference.prints]
    scale = 1e-8 if kind == "inverse" else reference.lot
    agree(ours.distributions["print_size"], Summary(*_summary(base, whole)), scale)
    sizes = [abs(value) for value in reference.log_returns(1)]
    agree(ours.distributions["abs_return_1s_bps"], Summary(*_summary(sizes, [round(v * 1e4) for v in sizes])), 1e-4)


def _summary(values: list[float] | list[int], integers: list[int]) -> Summary:
    from tests.sim.reference_measures import summary

    return summary(values, integers)


@pytest.mark.parametrize(("seed", "kind"), CASES)
def test_curves_are_those_of_brute_force(seed: int, kind: str) -> None:
    ours, reference = case(seed, kind)
    signs = [float(side) for _, side in reference.trades]
    sizes = [abs(value) for value in reference.log_returns(1)]
    for name, series, lags in (("sign_acf", signs, 50), ("abs_return_acf", sizes, 60)):
        curve = ours.curves[name]
        assert curve.x.tolist() == list(range(1, lags + 1))
        assert curve.y == pytest.approx([correlation(series, k) for k in range(1, lags + 1)], rel=1e-9, abs=1e-12)
        assert curve.se == pytest.approx(1 / math.sqrt(len(series)))
        assert curve.count.tolist() == [len(series) - k for k in range(1, lags + 1)]
    agree_points(ours.curves["imbalance_response_100ms"], reference.by_imbalance(1))
    agree_points(ours.curves["imbalance_response_1s"], reference.by_imbalance(10))
    agree_points(ours.curves["print_response"], [reference.response(delay) for delay in RESPONSE_MS])


def test_every_entry_of_the_catalog_is_measured() -> None:
    ours, _ = case(1, "SYNTH")
    of_kind = {kind: [name for name, one in CATALOG.items() if one.kind == kind] for kind in ("scalar", "curve")}
    assert list(ours.scalars) == of_kind["scalar"]
    assert list(ours.curves) == of_kind["curve"]
    assert list(ours.distributions) == [name for name, one in CATALOG.items() if one.kind == "distribution"]


# -- by hand -----------------------------------------------------------------------------------------------------------


def by_hand(signs: int = 1) -> Tape:
    """Mid 1000 for 10 s, then 1001 for 10 s. Depth 30 at the bid, 10 at the ask; a print each second."""
    book = [(rec.CLEAR, 0, 0, 0, 0), (rec.SNAPSHOT, BUY, 999, 30, 0), (rec.SNAPSHOT, SELL, 1001, 10, 0)]
    moved = [(rec.DEPTH, SELL, 1001, 0, 0), (rec.DEPTH, SELL, 1003, 10, 0)]
    rows: list[Message] = [(T0, T0, book)]
    for k in range(1, 20):
        ns = T0 + k * S
        if k == 10:
            rows.append((ns, ns, moved))
        rows += [(ns + n * MS, ns + n * MS, [(rec.DEPTH, BUY, 900, 5 + n, 0)]) for n in range(1, 6)]
        # Far above the book: a print there would empty it, so it is one of the bid's that changes nothing but the size.
        rows.append((ns + 500 * MS, ns + 500 * MS, [(rec.TRADE, signs * SELL, 999 if signs > 0 else 1003, 2, 0)]))
        rows.append((ns + 501 * MS, ns + 501 * MS, [(rec.DEPTH, BUY, 999, 30, 0)]))
    rows.append((T0 + 20 * S, T0 + 20 * S, [(rec.DEPTH, BUY, 999, 30, 0)]))
    return tape_of(rows)


def test_a_tape_by_hand() -> None:
    ours = measure(Market.compile(by_hand()))
    assert (ours.span_s, ours.prints, ours.trade_events) == (20.0, 19, 19)
    assert ours.spread_mean_ticks == pytest.approx((10 * 2 + 10 * 4) / 20)
    assert ours.trade_rate == 19 / 20
    assert ours.distributions["spread_ticks"].quantile(0.5) == 2.0
    assert ours.distributions["spread_ticks"].quantile(0.51) == 4.0
    assert ours.distributions["spread_ticks"].std == pytest.approx(1.0)
    # At 19 of 201 samples a seller has just taken 2 of the 30 lots at the bid.
    assert ours.distributions["imbalance_1"].mean == pytest.approx((182 * 20 / 40 + 19 * 18 / 38) / 201)
    assert ours.distributions["print_gap_ms"].values == pytest.approx([1000.0], rel=1e-3)
    assert ours.volatility_1s_bps == pytest.approx(1e4 * math.log(1001 / 1000) * math.sqrt(1 / 20 - 1 / 400))
    assert ours.volatility_60s_bps is None  # the tape is shorter than two of those
    assert np.isnan(ours.curves["sign_acf"].y).all()  # all prints have one sign: nothing varies
    # Of eighteen sellers that a second of tape follows one came less than a second before the mid rose.
    assert ours.curves["print_response"].count[4] == 18
    assert ours.curves["print_response"].y[4] == pytest.approx(-10.0 / 18)
    assert ours.one_sided_share == ours.crossed_share == 0.0


def test_prints_of_one_stamp_and_side_are_one_trade_event() -> None:
    book = [(rec.CLEAR, 0, 0, 0, 0), (rec.SNAPSHOT, BUY, 999, 9999, 0), (rec.SNAPSHOT, SELL, 1001, 9999, 0)]
    # What bears the stamp of the span's start does not count.
    rows: list[Message] = [(T0, T0, book), (T0, T0, [(rec.TRADE, BUY, 1001, 1, 0)])]
    for k in range(1, 101):
        ns = T0 + k * S // 4
        sides = (BUY, SELL, BUY, BUY, SELL)
        rows += [(ns, ns, [(rec.TRADE, side, 1000 + side, 1, 0)]) for side in sides]
    ours = measure(Market.compile(tape_of(rows)))
    assert (ours.prints, ours.trade_events) == (500, 200)
    assert ours.rows == 500
    assert ours.trade_rate == 2.5 * ours.trade_event_rate
    # Buyer and seller in turn.
    assert ours.curves["sign_acf"].y[:2] == pytest.approx([-1 + 1 / 200, 1 - 2 / 200])
    assert sorted(ours.distributions["trade_gap_ms"].weights.tolist()) == [99, 100]


# -- bins --------------------------------------------------------------------------------------------------------------


def test_bins_hold_what_they_say() -> None:
    chance = Random(5)
    values = [*range(3000), *(chance.randrange(1 << chance.randrange(1, 62)) for _ in range(3000)), (1 << 62) - 1]
    for value in values:
        counts = np.zeros(BIN_COUNT, np.int64)
        count_bins(np.array([value]), counts)
        low, high = bounds(np.flatnonzero(counts))
        assert (int(low[0]), int(high[0])) == bin_bounds(value)


def test_coarse_bins_ascend_and_are_an_eighth_of_an_octave_wide() -> None:
    values = np.arange(5000.0)
    coarse = coarse_bins(values)
    assert (np.diff(coarse) >= 0).all()
    assert (np.diff(coarse) <= 1).all()
    assert coarse[:17].tolist() == list(range(17))
    assert np.flatnonzero(np.diff(coarse)[1023:2048]).tolist() == [128 * k for k in range(9)]


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_too_little_is_refused_with_what_there_is() -> None:
    tape = by_hand()
    short = tape.slice_time(T0, T0 + 5 * S)
    few_rows = tape_of(_some(tape, 40))
    no_prints = Tape(tape.events[tape.events["kind"] != rec.TRADE], SYNTH)
    for one, says in ((short, "s with two sides .* 10 s"), (few_rows, "rows .* 100 rows"), (no_prints, "0 prints")):
        with pytest.raises(MeasureError, match=says):
            measure(Market.compile(one))
    with pytest.raises(MeasureError, match="conservative"):
        measure(compile_depth_market(tape))


def _some(tape: Tape, every: int) -> list[Message]:
    """The snapshot, and messages of one row a second."""
    book = [(rec.CLEAR, 0, 0, 0, 0), (rec.SNAPSHOT, BUY, 999, 30, 0), (rec.SNAPSHOT, SELL, 1001, 10, 0)]
    ns = range(T0 + S, T0 + every * S, S)
    return [(T0, T0, book), *((t, t, [(rec.TRADE, SELL, 999, 1, 0)]) for t in ns)]


def test_the_same_tape_gives_the_same_figures(small_tape: Tape) -> None:
    first, second = (measure(Market.compile(small_tape)).to_json() for _ in range(2))
    assert first == second
    assert first["source"]["tape_digest"] == small_tape.digest
    assert deviation([1.0, 2.0]) == (0.5, 1.0)
