"""Instruments: decimals are exact in both directions, and contradictions are refused with a sentence that helps.

Method: examples with known answers, and hypothesis for the round trip between texts and integers.
"""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobgym.sim.errors import InstrumentError
from lobgym.sim.instrument import BUILTIN, SYNTH, Instrument, find_instrument, load_instrument

PERP = find_instrument("binance-usdm", "BTCUSDT")
COIN = find_instrument("binance-coinm", "BTCUSD_PERP")


@pytest.mark.parametrize(
    ("venue", "symbol", "money_per_tick_lot", "inverse_scale"),
    [
        ("binance-spot", "BTCUSDT", 10, 0),  # 0.01 * 0.00001 / 1e-8
        ("binance-spot", "ETHUSDT", 100, 0),
        ("binance-usdm", "BTCUSDT", 10_000, 0),
        ("binance-usdm", "ETHUSDT", 1_000, 0),
        ("binance-coinm", "BTCUSD_PERP", 0, 10**15),  # 100 / 0.1 / 1e-12
        ("binance-coinm", "ETHUSD_PERP", 0, 10**15),
        ("synthetic", "SYNTH", 10_000, 0),
    ],
)
def test_money_of_the_builtin_instruments(venue: str, symbol: str, money_per_tick_lot: int, inverse_scale: int) -> None:
    one = find_instrument(venue, symbol)
    assert (one.money_per_tick_lot, one.inverse_scale) == (money_per_tick_lot, inverse_scale)
    assert one.is_inverse == (inverse_scale > 0)


def test_every_builtin_instrument_survives_json() -> None:
    for one in BUILTIN.values():
        assert Instrument.from_json(json.loads(json.dumps(one.to_json()))) == one


@given(st.integers(1, 10**12))
def test_ticks_and_prices_are_each_others_inverse(ticks: int) -> None:
    assert PERP.price_to_ticks(str(PERP.ticks_to_price(ticks))) == ticks
    assert PERP.qty_to_lots(str(PERP.lots_to_qty(ticks))) == ticks


@pytest.mark.parametrize(("text", "ticks"), [("28145.10", 281_451), ("0.1", 1), ("1e3", 10_000), ("64000", 640_000)])
def test_prices_are_read_exactly(text: str, ticks: int) -> None:
    assert PERP.price_to_ticks(text) == ticks


@pytest.mark.parametrize(("text", "lots"), [("3.868", 3868), ("0.0004", 0), ("0.0005", 0), ("0.0015", 2), ("0", 0)])
def test_quantities_are_rounded_half_to_even(text: str, lots: int) -> None:
    assert PERP.qty_to_lots(text) == lots


@pytest.mark.parametrize("text", ["28145.15", "0", "-1.0", "NaN", "Infinity", "", "1e99999999", "abc"])
def test_a_price_that_is_no_multiple_of_the_tick_is_named(text: str) -> None:
    with pytest.raises(InstrumentError, match="BTCUSDT: price") as caught:
        PERP.price_to_ticks(text)
    assert repr(text) in str(caught.value)


def test_money_becomes_a_float_in_units_of_the_currency() -> None:
    assert PERP.money_to_float(150_000_000) == 1.5
    assert COIN.money_to_float(150_000_000) == 1.5e-4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "option"}, "kind is 'option'"),
        ({"tick_size": Decimal(0)}, "tick_size is 0"),
        ({"lot_size": Decimal("NaN")}, "lot_size is NaN"),
        ({"lot_size": Decimal("0.0000000001")}, "whole number"),
        ({"kind": "spot", "contract_size": Decimal(10)}, "contract_size is 10"),
        ({"taker_fee_ppb": 10**10}, "taker_fee_ppb"),
        ({"symbol": ""}, "symbol is empty"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(InstrumentError, match=says):
        replace(SYNTH, **change)  # type: ignore[arg-type]


def test_an_unknown_symbol_lists_the_known_ones() -> None:
    with pytest.raises(InstrumentError, match="binance-usdm ETHUSDT"):
        find_instrument("binance-usdm", "DOGEUSDT")


def test_an_instrument_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "doge.json"
    data = {**PERP.to_json(), "symbol": "DOGEUSDT", "tick_size": "0.00001", "lot_size": "1"}
    file.write_text(json.dumps(data))
    assert load_instrument(file) == replace(PERP, symbol="DOGEUSDT", tick_size=Decimal("0.00001"), lot_size=Decimal(1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        (json.dumps({**PERP.to_json(), "tik_size": "1"}), "tik_size"),
        (json.dumps({**PERP.to_json(), "tick_size": 0.1}), "Expected `str`"),
        (json.dumps({**PERP.to_json(), "tick_size": "small"}), "not a decimal"),
        (json.dumps({"symbol": "X"}), "missing required field"),
        ("[]", "Expected `object`"),
    ],
)
def test_a_wrong_instrument_file_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(InstrumentError, match=says) as caught:
        load_instrument(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_a_missing_instrument_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InstrumentError, match=r"none\.json: cannot read"):
        load_instrument(tmp_path / "none.json")
