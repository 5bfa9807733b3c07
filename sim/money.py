"""Money as integers: what a trade pays, what it costs in fees, what a position is worth, what funding it owes.

The unit is `Instrument.money_unit`. Every amount is rounded once, against the trader, and every product is taken in
128 bits before it is divided. An amount beyond `MONEY_MAX` comes back as `OVERFLOW`, never as a wrapped number; that
sentinel lies so far below every amount that a sum with it stays beyond `MONEY_MAX` too, so that a kernel may add first
and test the sum. Tested sums become the lane's `LedgerOverflowError`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from lobgym.sim.instrument import Instrument
from lobgym.sim.jit import njit_inline
from lobgym.sim.wide import OVERFLOW, mul_div, product_fits

__all__ = [
    "MONEY_MAX",
    "OVERFLOW",
    "Economics",
    "cash_of",
    "economics_of",
    "entry_after",
    "fee_of",
    "fits",
    "funding_payment",
    "is_money",
    "mark_of_mid",
    "mark_value",
    "mul_div_ceil",
    "mul_div_floor",
    "notional_at_mark",
    "realised_of",
    "value_at_mark",
]

MONEY_MAX: Final = 1 << 61
_PPB: Final = 1_000_000_000
_RATE: Final = 1_000_000_000_000


class Economics(NamedTuple):
    """What the kernels need of an instrument; `economics_of` makes it.

    The last four are two reduced fractions, so that any exact tick and lot size has one.
    """

    money_per_tick_lot: int  # linear and spot: exact money of one lot at a price of one tick
    inverse_scale: int  # inverse: money of one lot = inverse_scale / price in ticks
    is_inverse: int  # 0 or 1
    tick_num: int  # a tick is tick_num / tick_den of 1e-8 quote units
    tick_den: int
    unit_num: int  # linear and spot: a lot is worth mark price * unit_num / unit_den of money
    unit_den: int


def economics_of(instrument: Instrument) -> Economics:
    """The constants of one instrument."""
    tick_num, tick_den = instrument.tick_fraction
    unit_num, unit_den = instrument.unit_fraction
    return Economics(
        instrument.money_per_tick_lot, instrument.inverse_scale, int(instrument.is_inverse),
        tick_num, tick_den, unit_num, unit_den,
    )  # fmt: skip


@njit_inline
def is_money(amount: int) -> bool:
    """Whether an amount, or a sum of a few, is within the ledger's range (which `OVERFLOW` is not)."""
    return -MONEY_MAX <= amount <= MONEY_MAX


@njit_inline
def mul_div_floor(a: int, b: int, c: int) -> int:
    """a * b / c rounded down, or OVERFLOW beyond MONEY_MAX. |a|, |b| < 2^63, 0 < c < 2^63."""
    quotient, _ = mul_div(a, b, c)
    return quotient if is_money(quotient) else OVERFLOW


@njit_inline
def mul_div_ceil(a: int, b: int, c: int) -> int:
    """a * b / c rounded up, or OVERFLOW beyond MONEY_MAX. |a|, |b| < 2^63, 0 < c < 2^63."""
    quotient, rest = mul_div(a, b, c)
    quotient += rest > 0
    return quotient if is_money(quotient) else OVERFLOW


# -- trades ------------------------------------------------------------------------------------------------------------


@njit_inline
def fits(econ: Economics, tick: int, qty: int) -> bool:
    """Whether the notional of `qty` lots at `tick` stays within MONEY_MAX."""
    if tick <= 0 or qty < 0:
        return False
    if econ.is_inverse:
        return float(qty) * (float(econ.inverse_scale) / float(tick) + 1.0) < float(MONEY_MAX)
    return float(qty) * float(tick) * float(econ.money_per_tick_lot) < float(MONEY_MAX)


@njit_inline
def cash_of(econ: Economics, side: int, tick: int, qty: int) -> int:
    """Signed change of cash of a trade of `qty` lots at `tick`; the caller has checked `fits`.

    Linear and spot: a buy pays price * quantity of the quote currency, exactly. Inverse: buying contracts adds
    contract value / price of the base currency (the short base leg), selling removes it.
    """
    if not econ.is_inverse:
        return -side * tick * qty * econ.money_per_tick_lot
    return mul_div_floor(side * qty, econ.inverse_scale, tick)


@njit_inline
def fee_of(cash: int, fee_ppb: int) -> int:
    """Fee on a trade that moved `cash`: |cash| * fee_ppb / 1e9, rounded up (a rebate, being negative, shrinks)."""
    notional = abs(cash)
    whole = notional // _PPB
    rest = notional - whole * _PPB
    return whole * fee_ppb + -((-rest * fee_ppb) // _PPB)


@njit_inline
def entry_after(position: int, open_cost: int, side: int, qty: int, cash: int) -> int:
    """What the open position cost after a fill of `qty` lots that moved `cash`; `position` is the one before it.

    The cost is what was paid, net, for the lots that are open (negative where money was received for them): the
    average entry price times the position, kept as an exact amount. A fill that adds to the position adds its cash.
    One that closes a part of it releases that part of the cost, rounded up, so that the realised profit is rounded
    down; closing all of it releases all. One that turns it closes with its share of the cash, rounded down, and opens
    with the rest. |position| and qty are below 2^62.
    """
    held = abs(position)
    if held == 0 or (position > 0) == (side > 0):
        return open_cost - cash
    if qty < held:
        return open_cost - mul_div_ceil(open_cost, qty, held)
    if qty == held:
        return 0
    return mul_div_floor(cash, held, qty) - cash


@njit_inline
def realised_of(cash: int, open_cost: int) -> int:
    """Realised profit, fees and funding apart: what cash has become beyond what is tied up in the open position.

    It needs no field of its own, and cash + value = realised + (value - open_cost) holds by construction.
    """
    return cash + open_cost


# -- positions at a price ----------------------------------------------------------------------------------------------


@njit_inline
def mark_value(econ: Economics, position: int, mid2_ticks: int) -> int:
    """Value of `position` lots at a mid of `mid2_ticks` / 2 ticks, rounded down, or OVERFLOW; 0 without a mid."""
    if position == 0 or mid2_ticks <= 0:
        return 0
    if econ.is_inverse:
        return mul_div_floor(-position, 2 * econ.inverse_scale, mid2_ticks)
    if not product_fits(position, econ.money_per_tick_lot):
        return OVERFLOW
    return mul_div_floor(position * econ.money_per_tick_lot, mid2_ticks, 2)


@njit_inline
def mark_of_mid(econ: Economics, mid2_ticks: int) -> int:
    """Mark price in 1e-8 quote units of a mid of `mid2_ticks` / 2 ticks, rounded down; 0 without a mid."""
    if mid2_ticks <= 0:
        return 0
    return mul_div_floor(mid2_ticks, econ.tick_num, 2 * econ.tick_den)


@njit_inline
def _notional(econ: Economics, position: int, mark_1e8: int) -> tuple[int, int, int]:
    """Floor of the signed notional at a mark price, its rest, and the divisor that the rest is counted in."""
    if econ.is_inverse:
        if not product_fits(position, econ.tick_num) or not product_fits(mark_1e8, econ.tick_den):
            return OVERFLOW, 0, 1
        divisor = mark_1e8 * econ.tick_den
        floor, rest = mul_div(position * econ.tick_num, econ.inverse_scale, divisor)
        return floor, rest, divisor
    if not product_fits(position, econ.unit_num):
        return OVERFLOW, 0, 1
    floor, rest = mul_div(position * econ.unit_num, mark_1e8, econ.unit_den)
    return floor, rest, econ.unit_den


@njit_inline
def value_at_mark(econ: Economics, position: int, mark_1e8: int) -> int:
    """Value of `position` lots at a mark price in 1e-8 quote units, rounded down, or OVERFLOW; 0 without a mark.

    Equity is cash - fees - funding + this. An inverse position is worth -position * contract value / price.
    """
    if position == 0 or mark_1e8 <= 0:
        return 0
    floor, _, _ = _notional(econ, -position if econ.is_inverse else position, mark_1e8)
    return floor if is_money(floor) else OVERFLOW


@njit_inline
def notional_at_mark(econ: Economics, lots: int, mark_1e8: int) -> int:
    """Size of a position of `lots` (either sign) at a mark price, at least 0 and rounded up; -OVERFLOW beyond.

    What margin is asked for. What the ledger cannot hold is reported as more than it can, so that no equity suffices.
    """
    if lots == 0 or mark_1e8 <= 0:
        return 0
    floor, rest, _ = _notional(econ, abs(lots), mark_1e8)
    floor += rest > 0
    return floor if is_money(floor) else -OVERFLOW


@njit_inline
def funding_payment(econ: Economics, position: int, mark_1e8: int, rate_1e12: int) -> int:
    """What a lane pays at a funding settlement: notional * rate, longs to shorts, rounded up once; or OVERFLOW.

    Negative: it receives. The notional's own fraction of a unit is carried along, so that the exact product is what
    is rounded. |rate_1e12| < 2^62.
    """
    if position == 0 or mark_1e8 <= 0 or rate_1e12 == 0:
        return 0
    floor, rest, divisor = _notional(econ, position, mark_1e8)
    if floor == OVERFLOW:
        return OVERFLOW
    payment, units = mul_div(floor, rate_1e12, _RATE)
    extra, below = mul_div(rest, rate_1e12, divisor)  # |extra| <= |rate|
    if payment == OVERFLOW:
        return OVERFLOW
    units += extra + (below > 0)
    payment += -(-units // _RATE)
    return payment if is_money(payment) else OVERFLOW
