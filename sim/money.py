"""Money as integers: what a trade pays, what it costs in fees, what a position is worth.

The unit is `Instrument.money_unit`. Every amount is rounded once, against the trader. A product that might leave
64 bits is split so that only exact integer steps remain; amounts beyond `MONEY_MAX` are an error of the lane
(`LedgerOverflowError`), never a wrapped number.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from lobgym.sim.jit import njit_inline

__all__ = ["MONEY_MAX", "Economics", "cash_of", "fee_of", "fits", "mark_value"]

MONEY_MAX: Final = 1 << 61
_PPB: Final = 1_000_000_000


class Economics(NamedTuple):
    """What the kernels need of an instrument."""

    money_per_tick_lot: int  # linear and spot: exact money of one lot at a price of one tick
    inverse_scale: int  # inverse: money of one lot = inverse_scale / price in ticks
    is_inverse: int  # 0 or 1


@njit_inline
def fits(econ: Economics, tick: int, qty: int) -> bool:
    """Whether the notional of `qty` lots at `tick` stays within MONEY_MAX."""
    if tick <= 0 or qty < 0:
        return False
    if econ.is_inverse:
        # `cash_of` also multiplies the lots with a remainder below `tick`.
        return float(qty) * max(float(econ.inverse_scale) / float(tick) + 1.0, float(tick)) < float(MONEY_MAX)
    return float(qty) * float(tick) * float(econ.money_per_tick_lot) < float(MONEY_MAX)


@njit_inline
def cash_of(econ: Economics, side: int, tick: int, qty: int) -> int:
    """Signed change of cash of a trade of `qty` lots at `tick`; the caller has checked `fits`.

    Linear and spot: a buy pays price * quantity of the quote currency, exactly. Inverse: buying contracts adds
    contract value / price of the base currency (the short base leg), selling removes it.
    """
    if not econ.is_inverse:
        return -side * tick * qty * econ.money_per_tick_lot
    whole = econ.inverse_scale // tick
    rest = econ.inverse_scale - whole * tick
    if side > 0:
        return qty * whole + (qty * rest) // tick
    return -(qty * whole + -((-qty * rest) // tick))


@njit_inline
def fee_of(cash: int, fee_ppb: int) -> int:
    """Fee on a trade that moved `cash`: |cash| * fee_ppb / 1e9, rounded up (a rebate, being negative, shrinks)."""
    notional = abs(cash)
    whole = notional // _PPB
    rest = notional - whole * _PPB
    return whole * fee_ppb + -((-rest * fee_ppb) // _PPB)


@njit_inline
def mark_value(econ: Economics, position: int, mid2_ticks: int) -> int:
    """Value of `position` lots at a mid of `mid2_ticks` / 2 ticks, rounded down. Equity = cash - fees + this."""
    if position == 0 or mid2_ticks <= 0:
        return 0
    if not econ.is_inverse:
        return (position * mid2_ticks * econ.money_per_tick_lot) // 2
    double = 2 * econ.inverse_scale
    whole = double // mid2_ticks
    rest = double - whole * mid2_ticks
    return -position * whole + (-position * rest) // mid2_ticks
