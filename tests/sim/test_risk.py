"""The compiled pre-trade check against a restatement in plain Python, and what must hold of any verdict."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lobgym.sim import records as rec
from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.errors import ParamsError
from lobgym.sim.instrument import find_instrument
from lobgym.sim.money import Economics, economics_of
from lobgym.sim.risk import RiskLimits, check, is_reducing

LINEAR = economics_of(find_instrument("binance-usdm", "BTCUSDT"))
INVERSE = economics_of(find_instrument("binance-coinm", "BTCUSD_PERP"))


def restated(limits: RiskLimits, econ: Economics, order: dict[str, Any]) -> int:
    """The rules of `RiskLimits`, from its text, with Python's integers."""
    side, tick, qty, position = order["side"], order["tick"], order["qty"], order["position"]
    bid, ask = order["bid"], order["ask"]
    two_sided = bid != NO_BID and ask != NO_ASK and bid < ask
    if not 1 <= qty <= limits.order_lots_max:
        return rec.RISK_ORDER_QTY
    if two_sided and abs(tick - (bid + ask) / 2) > limits.price_band_ticks_max:
        return rec.RISK_PRICE_BAND
    if order["open_orders"] >= limits.open_orders_max:
        return rec.RISK_OPEN_ORDERS
    signed = position * side
    if signed < 0 and signed + order["open_side"] + qty <= 0:
        return rec.OK
    if not two_sided:
        return rec.NO_BOOK
    if order["age"] > limits.quote_age_ns_max:
        return rec.RISK_STALE_BOOK
    if ask - bid > limits.spread_ticks_max:
        return rec.RISK_SPREAD
    worst = signed + order["open_side"] + qty
    if worst > limits.position_lots_max:
        return rec.RISK_POSITION
    if not limits.short and position - (order["open_side"] + qty) < 0 and side == rec.SELL:
        return rec.RISK_POSITION
    value = worst * econ.inverse_scale // tick if econ.is_inverse else worst * tick * econ.money_per_tick_lot
    if value > limits.notional_max:
        return rec.RISK_NOTIONAL
    if order["sent"] >= limits.orders_per_step_max:
        return rec.RISK_ORDER_RATE
    return rec.OK


def verdict(limits: RiskLimits, econ: Economics, order: dict[str, Any]) -> int:
    names = ("bid", "ask", "age", "side", "tick", "qty", "position", "open_side", "open_orders", "sent")
    return int(check(limits.values, econ, *(order[name] for name in names)))


limits_of = st.builds(
    RiskLimits,
    position_lots_max=st.integers(1, 60),
    order_lots_max=st.integers(1, 80),
    notional_max=st.one_of(st.integers(1, 10**11), st.just(10**18)),
    price_band_ticks_max=st.integers(1, 60),
    quote_age_ns_max=st.integers(1, 10),
    spread_ticks_max=st.integers(1, 30),
    open_orders_max=st.integers(1, 6),
    orders_per_step_max=st.integers(1, 6),
    short=st.booleans(),
)
orders_of = st.fixed_dictionaries(
    {
        "bid": st.one_of(st.just(NO_BID), st.integers(480, 510)),
        "ask": st.one_of(st.just(NO_ASK), st.integers(490, 530)),
        "age": st.integers(0, 12),
        "side": st.sampled_from([rec.BUY, rec.SELL]),
        "tick": st.integers(430, 570),
        "qty": st.integers(0, 90),
        "position": st.integers(-60, 60),
        "open_side": st.integers(0, 60),
        "open_orders": st.integers(0, 7),
        "sent": st.integers(0, 7),
    }
)
WIDE = RiskLimits(100, 100, 10**18, 100)


@settings(max_examples=1500, deadline=None)
@given(limits_of, st.sampled_from([LINEAR, INVERSE]), orders_of)
@example(WIDE, LINEAR, {"bid": 500, "ask": 501, "age": 0, "side": 1, "tick": 500, "qty": 100, "position": 0,
                        "open_side": 0, "open_orders": 0, "sent": 0})  # fmt: skip
def test_verdicts_equal_the_restatement(limits: RiskLimits, econ: Economics, order: dict[str, Any]):
    assert verdict(limits, econ, order) == restated(limits, econ, order)


@settings(max_examples=500, deadline=None)
@given(limits_of, orders_of)
def test_reducing_is_never_refused_for_risk(limits: RiskLimits, order: dict[str, Any]):
    if is_reducing(order["side"], order["qty"], order["position"], order["open_side"]):
        allowed = {rec.OK, rec.RISK_ORDER_QTY, rec.RISK_PRICE_BAND, rec.RISK_OPEN_ORDERS}
        assert verdict(limits, LINEAR, order) in allowed


@settings(max_examples=500, deadline=None)
@given(limits_of, orders_of)
def test_a_permitted_order_cannot_break_the_position_limit(limits: RiskLimits, order: dict[str, Any]):
    if verdict(limits, LINEAR, order) == rec.OK:
        worst = order["side"] * order["position"] + order["open_side"] + order["qty"]
        assert worst <= limits.position_lots_max
        if not limits.short and order["side"] == rec.SELL:
            assert worst <= 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"qty": 101}, rec.RISK_ORDER_QTY),
        ({"tick": 601}, rec.RISK_PRICE_BAND),
        ({"open_orders": 48}, rec.RISK_OPEN_ORDERS),
        ({"bid": NO_BID}, rec.NO_BOOK),
        ({"age": 5_000_000_001}, rec.RISK_STALE_BOOK),
        ({"bid": 400, "ask": 400 + 10_001, "tick": 5_400}, rec.RISK_SPREAD),
        ({"open_side": 100}, rec.RISK_POSITION),
        ({"sent": 16}, rec.RISK_ORDER_RATE),
    ],
)
def test_each_limit_can_refuse(change: dict[str, int], reason: int):
    order = {"bid": 500, "ask": 501, "age": 0, "side": 1, "tick": 500, "qty": 1, "position": 0, "open_side": 0,
             "open_orders": 0, "sent": 0}  # fmt: skip
    assert verdict(WIDE, LINEAR, order) == rec.OK
    assert verdict(WIDE, LINEAR, order | change) == reason


def test_the_notional_limit_is_exact():
    order = {"bid": 500, "ask": 501, "age": 0, "side": 1, "tick": 500, "qty": 7, "position": 0, "open_side": 0,
             "open_orders": 0, "sent": 0}  # fmt: skip
    value = 7 * 500 * LINEAR.money_per_tick_lot
    assert verdict(WIDE.replace(notional_max=value), LINEAR, order) == rec.OK
    assert verdict(WIDE.replace(notional_max=value - 1), LINEAR, order) == rec.RISK_NOTIONAL


def test_limits_round_trip_and_refuse_nonsense():
    assert RiskLimits.from_json(WIDE.to_json()) == WIDE
    with pytest.raises(ParamsError):
        RiskLimits.from_json({**WIDE.to_json(), "more": 1})
    for bad in (0, -1, True, 1.5, 1 << 62):
        with pytest.raises(ParamsError):
            WIDE.replace(position_lots_max=bad)
