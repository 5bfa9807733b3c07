"""Margin and fee tiers: continuous, exact, rounded against the trader; and what an instrument file may say of them.

Method: the margin of a notional is restated as a sum over its slices, each at its own rate, in fractions; hypothesis
draws tables and notionals. Files go through JSON and back; the JSON of instruments without tiers is what it ever was.
"""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lobgym.sim.errors import InstrumentError
from lobgym.sim.instrument import BUILTIN, SYNTH, Instrument, find_instrument, load_instrument
from lobgym.sim.margin import initial_margin, maintenance_margin
from lobgym.sim.memory import address_of
from lobgym.sim.tape import Tape
from lobgym.sim.tiers import FeeTier, MarginTier
from lobgym.sim.world import WORLD_DTYPE
from tests.project import ROOT

PERP = find_instrument("binance-usdm", "BTCUSDT")
COIN = find_instrument("binance-coinm", "BTCUSD_PERP")
SPOT = find_instrument("binance-spot", "BTCUSDT")
MONEY_MAX = 1 << 61
FIELDS_OF_OLD = {
    *("symbol", "venue", "kind", "base", "quote", "tick_size", "lot_size", "contract_size"),
    *("maker_fee_ppb", "taker_fee_ppb"),
}


def world_of(table: Any) -> Any:
    """A world that holds nothing but a margin table, which must outlive it."""
    world = np.zeros(1, WORLD_DTYPE)
    world["margin_tiers"], world["margin_tier_count"] = address_of(table), len(table)
    return world[0]


def tier(start: str, initial: int, maintenance: int) -> MarginTier:
    return MarginTier(Decimal(start), initial, maintenance)


@st.composite
def margin_tiers(draw: st.DrawFn) -> tuple[MarginTier, ...]:
    count = draw(st.integers(1, 6))
    starts = sorted(draw(st.sets(st.integers(1, 10**18), min_size=count - 1, max_size=count - 1)))
    initial = sorted(draw(st.lists(st.integers(1, 10**6), min_size=count, max_size=count)))
    maintenance = sorted(draw(st.integers(1, rate)) for rate in initial)
    kept = zip([0, *starts], initial, maintenance, strict=True)
    return tuple(tier(str(Decimal(start) / 10**8), one, min(one, other)) for start, one, other in kept)


def restated(tiers: tuple[MarginTier, ...], rates: list[int], notional: int, unit: Decimal) -> int:
    bounds = [int(one.notional_from / unit) for one in tiers] + [1 << 63]
    total = Fraction(0)
    for low, high, ppm in zip(bounds, bounds[1:], rates, strict=False):
        total += Fraction(max(0, min(notional, high) - low) * ppm, 10**6)
    return ceil(total)


@given(margin_tiers(), st.integers(0, 61).flatmap(lambda width: st.integers(0, 1 << width)))
@example(PERP.margin, MONEY_MAX)
@example(PERP.margin, 2 * MONEY_MAX)  # how a notional beyond the ledger is reported
@settings(max_examples=300, deadline=None)
def test_margin_is_the_sum_of_its_slices(tiers: tuple[MarginTier, ...], notional: int) -> None:
    one = replace(SYNTH, margin_tiers=tiers)
    table = one.margin_table()
    w = world_of(table)
    assert initial_margin(w, notional) == restated(tiers, [row.initial_ppm for row in tiers], notional, one.money_unit)
    assert maintenance_margin(w, notional) == restated(
        tiers, [row.maintenance_ppm for row in tiers], notional, one.money_unit
    )
    assert maintenance_margin(w, notional) <= initial_margin(w, notional) <= notional


@pytest.mark.parametrize("one", [PERP, COIN, find_instrument("binance-coinm", "ETHUSD_PERP")], ids=str)
def test_margin_does_not_jump(one: Instrument) -> None:
    table = one.margin_table()
    w = world_of(table)
    for start in table[1:, 0].tolist():
        for margin in (initial_margin, maintenance_margin):
            below, at, above = (margin(w, start + by) for by in (-1, 0, 1))
            assert 0 <= at - below <= 1
            assert 0 <= above - at <= 1


def test_a_worked_example() -> None:
    """1,000,000 USDT: 500,000 at the first maintenance rate, 500,000 at the second."""
    table = PERP.margin_table()
    w = world_of(table)
    assert maintenance_margin(w, 10**6 * 10**8) == (500_000 * 4 + 500_000 * 5) // 1000 * 10**8
    assert initial_margin(w, 1) == 1  # rounded up


def test_without_tiers_no_margin_is_asked_for() -> None:
    table = np.zeros((0, 7), np.int64)
    w = world_of(table)
    assert initial_margin(w, MONEY_MAX) == maintenance_margin(w, MONEY_MAX) == 0


# -- fee tiers ---------------------------------------------------------------------------------------------------------


def test_a_given_fee_replaces_every_tier() -> None:
    one = replace(SYNTH, fee_tiers=(FeeTier(Decimal(10), 5, 7),))
    assert one.fee_table().tolist() == [[0, 200_000, 500_000], [10**9, 5, 7]]
    assert one.fee_table(maker_fee_ppb=-3).tolist() == [[0, -3, 500_000], [10**9, -3, 7]]
    assert one.fee_table(taker_fee_ppb=0).tolist() == [[0, 200_000, 0], [10**9, 5, 0]]


# -- what an instrument says -------------------------------------------------------------------------------------------


def test_instruments_without_tiers_are_written_as_ever() -> None:
    """The digest of every stored tape covers these bytes."""
    for one in BUILTIN.values():
        assert set(one.to_json()) == FIELDS_OF_OLD
        assert Instrument.from_json(one.to_json()) == one


def test_builtin_perpetuals_have_defaults_and_others_none() -> None:
    for one in BUILTIN.values():
        perpetual = one.kind != "spot" and one is not SYNTH
        assert (len(one.margin) > 0) == perpetual
        assert one.margin_table().shape == (len(one.margin), 7)
        assert one.funding_interval_h == (8 if perpetual else None)
        assert one.liquidation_fee == 0
    assert replace(PERP, margin_tiers=()).margin == ()
    assert replace(PERP, funding_hours=4).funding_interval_h == 4
    assert replace(PERP, liquidation_fee_ppb=9).liquidation_fee == 9


def full() -> dict[str, Any]:
    return {
        **PERP.to_json(),
        "margin_tiers": [
            {"notional_from": "0", "initial_ppm": 10_000, "maintenance_ppm": 5_000},
            {"notional_from": "250000.50", "initial_ppm": 20_000, "maintenance_ppm": 15_000},
        ],
        "fee_tiers": [{"turnover_from": "15000000", "maker_fee_ppb": 160_000, "taker_fee_ppb": 400_000}],
        "liquidation_fee_ppb": 12_500_000,
        "funding_hours": 4,
    }


def test_an_instrument_file_says_all_of_it(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text(json.dumps(full()))
    one = load_instrument(file)
    assert one.margin == (tier("0", 10_000, 5_000), tier("250000.50", 20_000, 15_000))
    assert one.fee_tiers == (FeeTier(Decimal(15_000_000), 160_000, 400_000),)
    assert (one.liquidation_fee, one.funding_interval_h) == (12_500_000, 4)
    assert one.to_json() == full()
    start = 25_000_050 * 10**6
    assert one.margin_table().tolist()[1] == [start, 20_000, start // 100, 0, 15_000, start // 100, 0]


def test_the_example_of_the_page_is_an_instrument() -> None:
    page = (ROOT / "docs" / "economics.md").read_text()
    shown = json.loads(page.partition("```json\n")[2].partition("```")[0])
    one = Instrument.from_json({**PERP.to_json(), **shown})
    assert set(shown) == {"margin_tiers", "fee_tiers", "liquidation_fee_ppb", "funding_hours"}
    assert one.margin[1].notional_from == 250_000


def test_tiers_are_part_of_a_tapes_digest_and_survive_its_file(tmp_path: Path, small_tape: Tape) -> None:
    one = Instrument.from_json({**full(), "symbol": "SYNTH"})
    tape = Tape(small_tape.events, one)
    assert tape.digest != Tape(small_tape.events, replace(one, liquidation_fee_ppb=None)).digest
    tape.save(tmp_path / "a.parquet")
    assert Tape.load(tmp_path / "a.parquet").instrument == one


def changed(name: str, row: int, **values: Any) -> dict[str, Any]:
    data = full()
    data[name][row].update(values)
    return data


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (changed("margin_tiers", 0, notional_from="1"), "begin at 1, expected 0"),
        (changed("margin_tiers", 1, notional_from="0"), "expected rising amounts"),
        (changed("margin_tiers", 1, notional_from="-5"), "expected a decimal from 0 up"),
        (changed("margin_tiers", 1, notional_from="0.000000001"), "multiple of"),
        (changed("margin_tiers", 1, notional_from="1e12"), "below"),
        (changed("margin_tiers", 1, notional_from="much"), "not a decimal"),
        (changed("margin_tiers", 1, notional_from=5), "Expected `str`"),
        (changed("margin_tiers", 1, initial_ppm=9_999, maintenance_ppm=9_000), "neither below the tier before"),
        (changed("margin_tiers", 1, maintenance_ppm=4_000), "neither below the tier before"),
        (changed("margin_tiers", 1, maintenance_ppm=20_001), "maintenance_ppm <= initial_ppm"),
        (changed("margin_tiers", 1, initial_ppm=1_000_001), "<= 1000000"),
        (changed("margin_tiers", 0, maintenance_ppm=0), "1 <= maintenance_ppm"),
        (changed("margin_tiers", 0, leverage=5), "leverage"),
        (changed("fee_tiers", 0, turnover_from="0"), "start above it"),
        (changed("fee_tiers", 0, taker_fee_ppb=10**9), "parts per billion"),
        ({**full(), "liquidation_fee_ppb": -1}, "liquidation_fee_ppb is -1"),
        ({**full(), "funding_hours": 0}, "funding_hours is 0"),
        ({**full(), "funding_hours": "8"}, "Expected `int"),
        ({**full(), "kind": "spot"}, "neither margin"),
        ({**full(), "margin_tiers": full()["margin_tiers"] * 40}, "at most 64"),
    ],
)
def test_a_wrong_tier_is_refused_in_one_line(data: dict[str, Any], says: str) -> None:
    with pytest.raises(InstrumentError, match=says) as caught:
        Instrument.from_json(data)
    assert "\n" not in str(caught.value)


def test_sizes_that_no_fraction_holds_are_refused() -> None:
    with pytest.raises(InstrumentError, match="too fine or too coarse"):
        replace(PERP, tick_size=Decimal("1e20"), lot_size=Decimal("1e-25"))
