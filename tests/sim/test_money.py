"""Money: every amount equals the exact rational, rounded once, against the trader, or is refused.

Method: Python's integers and fractions restate each function from its sentence, without its algorithm; hypothesis
draws the arguments over the whole range of bits, not uniformly (a uniform draw is always large). The ledger of random
fills is compared with a list of open lots. The same numbers come out of a process that compiles nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lobgym.sim.instrument import BUILTIN, SYNTH, Instrument, find_instrument
from lobgym.sim.money import (
    MONEY_MAX,
    OVERFLOW,
    cash_of,
    economics_of,
    entry_after,
    fee_of,
    fits,
    funding_payment,
    is_money,
    mark_of_mid,
    mark_value,
    mul_div_ceil,
    mul_div_floor,
    notional_at_mark,
    realised_of,
    value_at_mark,
)
from lobgym.sim.records import BUY, SELL
from lobgym.sim.wide import mul_div

PERP = find_instrument("binance-usdm", "BTCUSDT")
COIN = find_instrument("binance-coinm", "BTCUSD_PERP")
ODD = replace(SYNTH, tick_size=Decimal("0.00003"), lot_size=Decimal("0.7"), contract_size=Decimal("11"))
FINE = replace(COIN, tick_size=Decimal("2.5e-9"), lot_size=Decimal(3), contract_size=Decimal("0.0000001"))
ALL = (*BUILTIN.values(), ODD, FINE)
FAR = settings(max_examples=400, deadline=None)


def bits(limit: int, low: int = 0) -> st.SearchStrategy[int]:
    """Integers below 2**limit, each length as likely as another, and those beside a power of two."""
    drawn = st.integers(0, limit).flatmap(lambda width: st.integers(0, (1 << width) - 1))
    edges = st.builds(lambda width, by: (1 << width) + by, st.integers(2, limit - 1), st.integers(-2, 2))
    return st.one_of(drawn, edges).filter(lambda value: low <= value < 1 << limit)


def signed(limit: int) -> st.SearchStrategy[int]:
    return st.builds(lambda size, sign: size * sign, bits(limit), st.sampled_from((-1, 1)))


def ledger(amount: int) -> int:
    return amount if abs(amount) <= MONEY_MAX else OVERFLOW


# -- 128 bits ----------------------------------------------------------------------------------------------------------


@given(signed(63), signed(63), bits(63, low=1))
@example(-(2**63) + 1, 2**63 - 1, 2**63 - 1)
@example(2**62, 3, 2**63 - 1)
@example(2**61, 1, 1)
@example(-(2**61), 1, 1)
@example(2**61, 5, 5)
@example(2 * 2**61 + 1, 1, 2)
@example((1 << 62) - 1, (1 << 62) - 1, (1 << 62) + 1)
@example(6_192_677_825_340_811_283, 54_636_245_297_295_140, 2_306_260_299_646_238_719)  # a digit two too large
@FAR
def test_a_product_is_divided_exactly(a: int, b: int, c: int) -> None:
    exact = Fraction(a * b, c)
    assert mul_div_floor(a, b, c) == ledger(floor(exact))
    assert mul_div_ceil(a, b, c) == ledger(ceil(exact))
    quotient, rest = mul_div(a, b, c)
    if abs(exact) < 2**62 - 1:
        assert (quotient, rest) == divmod(a * b, c)
    elif abs(exact) >= 2**62:
        assert quotient == OVERFLOW


@given(bits(62, low=1), bits(61), bits(62, low=1), st.integers(-2, 2))
@FAR
def test_quotients_near_a_whole_number(c: int, quotient: int, b: int, by: int) -> None:
    """The digits of a long division go wrong, if at all, where the rest is nearly 0 or nearly the divisor."""
    a = quotient * c // b + by
    if 0 <= a < 2**63:
        assert mul_div_floor(a, b, c) == ledger(a * b // c)
        assert mul_div_ceil(-a, b, c) == ledger(-(a * b // c))


def test_an_amount_out_of_range_stays_out_of_range_in_a_sum() -> None:
    assert not is_money(OVERFLOW)
    for other in (MONEY_MAX, -MONEY_MAX):
        assert is_money(other)
        assert not is_money(OVERFLOW + other - 1)


# -- trades ------------------------------------------------------------------------------------------------------------


def exact_cash(one: Instrument, side: int, tick: int, qty: int) -> Fraction:
    """Money of a trade, from what the currencies say."""
    lots, price = qty * Fraction(one.lot_size) * Fraction(one.contract_size), tick * Fraction(one.tick_size)
    amount = lots / price if one.is_inverse else -lots * price
    return side * amount / Fraction(one.money_unit)


@given(st.sampled_from(ALL), st.sampled_from((BUY, SELL)), bits(44, low=1), bits(44, low=1))
@FAR
def test_cash_is_rounded_down_where_it_is_not_exact(one: Instrument, side: int, tick: int, qty: int) -> None:
    econ = economics_of(one)
    exact = exact_cash(one, side, tick, qty)
    if fits(econ, tick, qty):
        assert cash_of(econ, side, tick, qty) == floor(exact)
        assert one.is_inverse or exact.denominator == 1
    else:
        assert abs(exact) + qty > MONEY_MAX * 99 // 100


@given(signed(61), st.integers(-(10**9) + 1, 2 * 10**9))
@FAR
def test_fees_are_rounded_up(cash: int, ppb: int) -> None:
    assert fee_of(cash, ppb) == ceil(Fraction(abs(cash) * ppb, 10**9))


# -- a position at a price ---------------------------------------------------------------------------------------------


def exact_notional(one: Instrument, position: int, price: Fraction) -> Fraction:
    """Signed notional in money units: a long position is positive, in the currency of the account."""
    lots = position * Fraction(one.lot_size) * Fraction(one.contract_size)
    return (lots / price if one.is_inverse else lots * price) / Fraction(one.money_unit)


@given(st.sampled_from(ALL), signed(50), bits(60))
@example(COIN, 10**6, 6_000_012_345_678)
@FAR
def test_values_at_a_mark(one: Instrument, position: int, mark: int) -> None:
    econ = economics_of(one)
    if mark == 0:
        assert value_at_mark(econ, position, mark) == notional_at_mark(econ, position, mark) == 0
        return
    notional = exact_notional(one, position, Fraction(mark, 10**8))
    value, size = value_at_mark(econ, position, mark), notional_at_mark(econ, position, mark)
    exact = floor(-notional if one.is_inverse else notional)
    # Beside what the ledger cannot hold, what only a product of factors too large could tell is refused too.
    assert value in (exact, OVERFLOW)
    assert size in (ceil(abs(notional)), -OVERFLOW)
    if abs(position) < 2**36 and mark < 2**44 and abs(notional) < MONEY_MAX:
        assert (value, size) == (exact, ceil(abs(notional)))
    if abs(notional) > MONEY_MAX + 1:
        assert (value, size) == (OVERFLOW, -OVERFLOW)


@given(st.sampled_from(ALL), signed(42), bits(42))
@FAR
def test_the_mid_as_a_mark(one: Instrument, position: int, mid2: int) -> None:
    econ = economics_of(one)
    price = Fraction(mid2, 2) * Fraction(one.tick_size)
    assert mark_of_mid(econ, mid2) == ledger(floor(price * 10**8))
    if mid2 > 0:
        notional = exact_notional(one, position, price)
        assert mark_value(econ, position, mid2) == ledger(floor(-notional if one.is_inverse else notional))
    else:
        assert mark_value(econ, position, mid2) == 0


@given(st.sampled_from(ALL), signed(36), bits(44, low=1), signed(62))
@example(PERP, 1, 2_814_727_373_413, 27_540_000)
@example(PERP, -1, 2_814_727_373_413, 27_540_000)
@example(COIN, -7, 2_814_727_373_413, -27_540_000)
@FAR
def test_funding_is_rounded_up_once(one: Instrument, position: int, mark: int, rate: int) -> None:
    """A long pays a positive rate on its notional, also where its inverse value is negative."""
    econ = economics_of(one)
    notional = exact_notional(one, position, Fraction(mark, 10**8))
    payment = funding_payment(econ, position, mark, rate)
    exact = ceil(notional * rate / 10**12)
    if abs(notional) < MONEY_MAX:
        assert payment == ledger(exact)
    else:
        assert payment in (ledger(exact), OVERFLOW)


# -- realised profit ---------------------------------------------------------------------------------------------------

FILLS = st.lists(
    st.tuples(st.sampled_from((BUY, SELL)), st.integers(500_000, 700_000), st.integers(1, 40)), min_size=1, max_size=40
)


@given(st.sampled_from((PERP, COIN, ODD)), FILLS)
@settings(max_examples=200, deadline=None)
def test_realised_profit_reconciles_to_the_unit(one: Instrument, fills: list[tuple[int, int, int]]) -> None:
    """Against the average-cost book of exact fractions, which the integers may fall short of by a unit a fill."""
    econ = economics_of(one)
    position = cash = cost = 0
    exact_cost = exact_realised = Fraction(0)
    for count, (side, tick, qty) in enumerate(fills, start=1):
        moved = int(cash_of(econ, side, tick, qty))
        before = realised_of(cash, cost)
        cost = int(entry_after(position, cost, side, qty, moved))
        cash += moved
        closed = min(qty, abs(position)) if side * position < 0 else 0
        gain = Fraction(0)
        if closed:
            released = exact_cost * closed / abs(position)
            gain = Fraction(moved * closed, qty) - released
            exact_cost -= released
        exact_cost -= Fraction(moved * (qty - closed), qty)
        exact_realised += gain
        position += side * qty

        realised = realised_of(cash, cost)
        assert (cost == 0) if position == 0 else (cost != 0)
        assert closed or realised == before  # opening realises nothing
        assert -count <= realised - exact_realised <= count
        mid2 = 2 * tick + 1
        value = mark_value(econ, position, mid2)
        assert cash + value == realised + (value - cost)
        if position == 0:
            assert realised == cash
            assert exact_cost == 0


@given(signed(42), signed(60), st.sampled_from((BUY, SELL)), bits(42, low=1), signed(60))
@FAR
def test_each_step_of_the_cost_is_rounded_against_the_trader(
    position: int, cost: int, side: int, qty: int, cash: int
) -> None:
    after, held = entry_after(position, cost, side, qty, cash), abs(position)
    if position == 0 or (position > 0) == (side > 0):
        assert after == cost - cash
    elif qty < held:
        assert after == cost - ceil(Fraction(cost * qty, held))
    else:
        assert after == floor(Fraction(cash * held, qty)) - cash


def test_a_round_trip_earns_the_difference() -> None:
    econ = economics_of(PERP)
    bought = cash_of(econ, BUY, 600_000, 10)
    cost = entry_after(0, 0, BUY, 10, bought)
    sold = cash_of(econ, SELL, 600_100, 4)
    cost = entry_after(10, cost, SELL, 4, sold)
    assert realised_of(bought + sold, cost) == 100 * 4 * PERP.money_per_tick_lot
    turned = cash_of(econ, SELL, 599_900, 9)
    cost = entry_after(6, cost, SELL, 9, turned)
    assert realised_of(bought + sold + turned, cost) == (400 - 600) * PERP.money_per_tick_lot
    assert cost == -599_900 * 3 * PERP.money_per_tick_lot


# -- without a compiler ------------------------------------------------------------------------------------------------

SCRIPT = """
import numpy as np
from lobgym.sim import money
from lobgym.sim.instrument import find_instrument
from lobgym.sim.rng import draw
total = []
with np.errstate(over="ignore"):
    def number(k, limit):
        return int(draw(5, 0, 2 * k)) >> (64 - 1 - int(draw(5, 1, k) % np.uint64(limit)))
    for k in range(0, 3000, 3):
        a, b, c = number(k, 63), number(k + 1, 63), number(k + 2, 62) + 1
        total.append(int(money.mul_div_floor(a, -b, c)))
        total.append(int(money.mul_div_ceil(a, b, c)))
        for venue, symbol in (("binance-usdm", "BTCUSDT"), ("binance-coinm", "BTCUSD_PERP")):
            one = find_instrument(venue, symbol)
            econ = money.economics_of(one)
            position, mark, rate = a % 10**7 - 5 * 10**6, b % 10**13 + 1, c % 10**10 - 5 * 10**9
            total.append(int(money.value_at_mark(econ, position, mark)))
            total.append(int(money.notional_at_mark(econ, position, mark)))
            total.append(int(money.funding_payment(econ, position, mark, rate)))
            total.append(int(money.mark_value(econ, position, mark >> 20)))
            total.append(int(money.entry_after(position, a >> 5, 1, c % 10**6 + 1, -(b >> 5))))
print(total)
"""


def test_equal_without_compilation() -> None:
    def run(**env: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT],
            capture_output=True, text=True, check=True, env={**os.environ, **env},
        )  # fmt: skip
        return done.stdout

    plain = run(NUMBA_DISABLE_JIT="1")
    assert plain.count(",") > 10_000
    assert plain == run()


@pytest.mark.parametrize("one", ALL, ids=lambda one: f"{one.venue} {one.symbol}")
def test_constants_of_the_instrument(one: Instrument) -> None:
    econ = economics_of(one)
    assert Fraction(econ.tick_num, econ.tick_den) == Fraction(one.tick_size) * 10**8
    if not one.is_inverse:
        assert Fraction(econ.unit_num, econ.unit_den) == Fraction(one.lot_size) * Fraction(one.contract_size)
