"""Goal: distances are 0 of a tape and itself, grow with what differs, and are what docs/compare.md says.

Method: samples expanded by hand and scipy's Wasserstein distance; tapes that differ in one known thing.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from scipy.stats import wasserstein_distance
from typer.testing import CliRunner

from lobgym.experiments.cli import app
from lobgym.experiments.compare import compare, curve_distance, histogram_l1, relative_difference, wasserstein
from lobgym.experiments.pages.comparison import render_comparison
from lobgym.sim import records as rec
from lobgym.sim.market import Market
from lobgym.sim.measures import CATALOG, Curve, Distribution, Measures, measure
from lobgym.sim.measures.bins import BIN_COUNT, count_bins
from lobgym.sim.synthetic import synthetic_tape
from lobgym.sim.tape import Tape, open_tape

A, B = "synth?seed=1&minutes=2", "synth?seed=2&minutes=2"


@cache
def measured(seed: int, times_qty: int = 1, times_ns: int = 1, ticks_more: int = 0) -> Measures:
    """Two minutes of the synthetic market, with all quantities or times multiplied, or all asks moved up."""
    tape = synthetic_tape(seed=seed, minutes=2)
    events = tape.events.copy()
    book = events["kind"] <= rec.BBO
    events["qty_lots"][book] *= times_qty
    first = events["exch_ns"][0]
    for name in ("exch_ns", "local_ns"):
        events[name] = first + (events[name] - first) * times_ns
    hits_ask = np.where(events["kind"] == rec.TRADE, events["side"] == rec.BUY, events["side"] == rec.SELL)
    events["price_ticks"][book & hits_ask] += ticks_more
    return measure(Market.compile(Tape(events, tape.instrument)))


def distances(a: Measures, b: Measures) -> dict[str, dict[str, Any]]:
    return {name: one["distance"] for name, one in compare(a, b)["measures"].items()}


def distribution_of(values: list[int]) -> Distribution:
    counts = np.zeros(BIN_COUNT, np.int64)
    count_bins(np.array(values, np.int64), counts)
    return Distribution.of_bins(counts, 0.5, sum(values) * 0.5, len(values))


# -- the formulas ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_wasserstein_is_scipys(seed: int) -> None:
    chance = Random(seed)
    a, b = ([chance.randrange(1000) for _ in range(chance.randrange(1, 60))] for _ in range(2))
    ours = wasserstein(distribution_of(a), distribution_of(b))
    assert ours == pytest.approx(wasserstein_distance(a, b) / 2, rel=1e-12)
    assert ours == wasserstein(distribution_of(b), distribution_of(a))


@pytest.mark.parametrize("seed", range(5))
def test_l1_is_that_of_coarse_histograms(seed: int) -> None:
    chance = Random(seed)
    a, b = ([chance.randrange(200) for _ in range(50)] for _ in range(2))

    def coarse(value: int) -> int:
        return value >> max(value.bit_length() - 4, 0) << max(value.bit_length() - 4, 0)

    bins = {coarse(value) for value in a + b}
    shares = [[sum(coarse(value) == one for value in values) / 50 for one in bins] for values in (a, b)]
    expected = sum(abs(x - y) for x, y in zip(*shares, strict=True))
    assert histogram_l1(distribution_of(a), distribution_of(b)) == pytest.approx(expected, abs=1e-12)


def test_l1_goes_from_0_to_2() -> None:
    assert histogram_l1(distribution_of([1, 2]), distribution_of([2, 1])) == 0
    assert histogram_l1(distribution_of([1, 2]), distribution_of([300])) == 2
    assert math.isnan(histogram_l1(distribution_of([1]), distribution_of([])))


def test_relative_differences() -> None:
    assert relative_difference(2.0, 4.0) == 1.0
    assert relative_difference(4.0, 2.0) == -0.5
    assert relative_difference(0.0, 0.0) == 0.0
    assert relative_difference(0.0, 1.0) is None
    assert relative_difference(None, 1.0) is None


def test_curves_are_apart_by_their_standard_errors() -> None:
    def curve(y: list[float], se: list[float]) -> Curve:
        return Curve(np.arange(len(y), dtype=np.float64), np.array(y), np.array(se), np.ones(len(y), np.int64))

    a = curve([1.0, 2.0, 5.0, math.nan, 1.0], [3.0, 0.0, 1.0, math.nan, math.nan])
    b = curve([11.0, 2.0, math.nan, 1.0, 2.0], [4.0, 0.0, 1.0, 1.0, 1.0])
    assert curve_distance(a, b) == (1.0, 2)  # 10 / 5 at the first point, equal at the second
    assert curve_distance(curve([math.nan], [1.0]), curve([1.0], [1.0])) == (None, 0)


# -- whole tapes -------------------------------------------------------------------------------------------------------


def test_a_tape_is_at_no_distance_from_itself() -> None:
    for name, away in distances(measured(1), measured(1)).items():
        values = [value for key, value in away.items() if key != "points"]
        assert all(value == 0 for value in values if value is not None), name
        assert None not in values or CATALOG[name].kind == "scalar", name
    assert compare(measured(1), measured(1))["overall"] == {
        "l1_mean": 0.0,
        "wasserstein_per_std_mean": 0.0,
        "per_standard_error_mean": 0.0,
    }


def test_another_seed_is_at_some_distance() -> None:
    away = distances(measured(1), measured(2))
    assert all(one["l1"] > 0 for name, one in away.items() if CATALOG[name].kind == "distribution")
    assert all(one["per_standard_error"] > 0 for name, one in away.items() if CATALOG[name].kind == "curve")


def test_doubled_quantities_double_quantities_and_nothing_else() -> None:
    one, two = measured(1), measured(1, times_qty=2)
    away = distances(one, two)
    for name, entry in CATALOG.items():
        about_quantity = "depth" in name or "print_size" in name
        if entry.kind == "scalar" and one.scalars[name] is not None:
            assert away[name]["relative"] == pytest.approx(float(about_quantity), abs=1e-12), name
        elif entry.kind == "distribution" and about_quantity:
            # Every value moves by itself: the distance is the mean. Fine bins are 0.2% wide.
            assert away[name]["wasserstein"] == pytest.approx(one.distributions[name].mean, rel=3e-3), name
        elif entry.kind == "distribution":
            assert away[name] == {"wasserstein": 0.0, "wasserstein_per_std": 0.0, "l1": 0.0}, name
        elif entry.kind == "curve":
            assert away[name]["per_standard_error"] == 0.0, name


def test_a_tape_at_half_the_speed_has_half_the_rates_and_twice_the_gaps() -> None:
    one, slow = measured(1), measured(1, times_ns=2)
    away = distances(one, slow)
    for name in ("row_rate", "trade_rate", "trade_event_rate"):
        assert away[name]["relative"] == pytest.approx(-0.5), name
    for name in ("order_to_trade", "print_size_mean", "spread_mean_ticks", "one_sided_share"):
        assert away[name]["relative"] == pytest.approx(0.0, abs=1e-12), name
    for name in ("row_gap_ms", "stamp_gap_ms", "print_gap_ms", "trade_gap_ms"):
        assert away[name]["wasserstein"] == pytest.approx(one.distributions[name].mean, rel=3e-3), name
    assert away["sign_acf"]["per_standard_error"] == 0.0


def test_a_wider_spread_is_seen_in_the_spread() -> None:
    one, wide = measured(1), measured(1, ticks_more=3)
    assert wide.spread_mean_ticks > one.spread_mean_ticks + 2.5
    away = distances(one, wide)
    assert away["spread_ticks"]["wasserstein"] == pytest.approx(wide.spread_mean_ticks - one.spread_mean_ticks)
    assert away["trade_rate"]["relative"] == 0.0


def test_swapping_tapes_keeps_what_is_symmetric() -> None:
    there, back = distances(measured(1), measured(2)), distances(measured(2), measured(1))
    for name, one in there.items():
        if CATALOG[name].kind == "distribution":
            assert one["wasserstein"] == back[name]["wasserstein"]
            assert one["l1"] == back[name]["l1"]
        elif CATALOG[name].kind == "curve":
            assert one == back[name]
        elif one["relative"]:
            assert (1 + one["relative"]) * (1 + back[name]["relative"]) == pytest.approx(1.0)


# -- page and command --------------------------------------------------------------------------------------------------


def test_the_page_stands_alone_and_repeats() -> None:
    a, b = measured(1), measured(2)
    data = compare(a, b, ("<one>", "two"))
    page = render_comparison(data, a, b, [("command", "lobgym <market>")])
    assert page == render_comparison(data, a, b, [("command", "lobgym <market>")])
    assert "&lt;one&gt;" in page
    assert "<one>" not in page
    assert not any(word in page for word in ("<script", "http://", "https://", "nan", "inf,"))
    assert all(f">{name}</span>" in page for name in CATALOG)


def test_a_page_of_a_tape_without_variance() -> None:
    """Prints of one side, a mid that stands still: what does not exist is a dash."""
    tape = synthetic_tape(seed=1, minutes=1)
    events = tape.events[tape.events["kind"] == rec.TRADE][:200].copy()
    book = np.zeros(3, rec.EVENT_DTYPE)
    book["kind"] = (rec.CLEAR, rec.SNAPSHOT, rec.SNAPSHOT)
    book["side"], book["price_ticks"], book["qty_lots"] = (0, 1, -1), (0, 99, 101), (0, 10**9, 10**9)
    book["flags"] = (0, 0, rec.LAST)
    events["price_ticks"], events["side"], events["qty_lots"] = 101, rec.BUY, 1
    events["flags"] = rec.LAST
    book["exch_ns"] = book["local_ns"] = events["exch_ns"][0] - 10**10
    still = measure(Market.compile(Tape(np.concatenate([book, events]), tape.instrument)))
    data = compare(still, measured(1))
    assert data["measures"]["kurtosis_1s"]["a"] is None
    assert data["measures"]["spread_ticks"]["distance"]["wasserstein_per_std"] is None
    json.dumps(data, allow_nan=False)
    for one, other in ((still, measured(1)), (still, still)):
        assert "nan" not in render_comparison(compare(one, other), one, other, [])


def test_the_command_prints_json_and_writes_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["market", "compare", A, B, "--json", "--out", str(page)])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert set(data["measures"]) == set(CATALOG)
    assert data["a"]["tape_digest"] == open_tape(A).digest
    assert data["b"]["name"] == B
    assert set(data["measures"]["spread_ticks"]) == {"kind", "unit", "grid", "a", "b", "distance"}
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
    again = CliRunner().invoke(app, ["market", "compare", A, B, "--json"])
    assert again.stdout == result.stdout


def test_the_command_prints_a_table() -> None:
    result = CliRunner().invoke(app, ["market", "compare", A, A])
    assert result.exit_code == 0, result.output
    assert "trade_rate" in result.stdout
    assert "sign_acf" in result.stdout
