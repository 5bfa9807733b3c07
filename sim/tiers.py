"""Tiers of an instrument: margin rates by size of position, fees by turnover. Exact, validated, JSON-able.

Amounts are in the currency of the account: quote units, for inverse contracts base units. `*_table` turn tiers into
the integer tables that kernels read; `DEFAULT_MARGIN` has simple tiers for the built-in perpetuals. They follow the
usual shape (highest leverage for small positions, half of the initial rate kept), and are no venue's current table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.errors import InstrumentError

__all__ = [
    "DEFAULT_FUNDING_HOURS",
    "DEFAULT_MARGIN",
    "FeeTier",
    "MarginTier",
    "check_fee_tiers",
    "check_margin_tiers",
    "fee_table",
    "margin_rows",
    "margin_table",
    "tiers_of_json",
    "tiers_to_json",
]

PPM: Final = 1_000_000
PPB: Final = 1_000_000_000
TIERS_MAX: Final = 64
AMOUNT_MAX: Final = 1 << 61  # of money units, as in `lobgym.sim.money`
_EXACT: Final = Context(prec=80)


@dataclass(frozen=True)
class MarginTier:
    """From this notional on, each further unit of it asks for these shares as margin, in parts per million."""

    notional_from: Decimal
    initial_ppm: int
    maintenance_ppm: int


@dataclass(frozen=True)
class FeeTier:
    """From this turnover on, fees are these parts per billion of the notional; a negative one is a rebate."""

    turnover_from: Decimal
    maker_fee_ppb: int
    taker_fee_ppb: int


def check_margin_tiers(tiers: Sequence[MarginTier], money_unit: Decimal, where: str) -> None:
    """Raises `InstrumentError` unless the tiers begin at 0, rise, and never ask for less from larger positions."""
    where = f"{where}: margin_tiers"
    _check_amounts([tier.notional_from for tier in tiers], money_unit, where)
    if tiers and tiers[0].notional_from != 0:
        raise InstrumentError(f"{where} begin at {tiers[0].notional_from}, expected 0: every position has a tier")
    initial = maintenance = 1
    for tier in tiers:
        if not (_is_int(tier.initial_ppm) and _is_int(tier.maintenance_ppm)):
            raise InstrumentError(f"{where}: {tier} needs whole parts per million")
        if not maintenance <= tier.maintenance_ppm <= tier.initial_ppm <= PPM or tier.initial_ppm < initial:
            raise InstrumentError(
                f"{where}: {tier} must have 1 <= maintenance_ppm <= initial_ppm <= {PPM}, neither below the tier before"
            )
        initial, maintenance = tier.initial_ppm, tier.maintenance_ppm


def check_fee_tiers(tiers: Sequence[FeeTier], money_unit: Decimal, where: str) -> None:
    """Raises `InstrumentError` unless turnovers rise from above 0 and every fee is below the whole notional."""
    where = f"{where}: fee_tiers"
    _check_amounts([tier.turnover_from for tier in tiers], money_unit, where)
    if tiers and tiers[0].turnover_from == 0:
        raise InstrumentError(f"{where} begin at 0, where maker_fee_ppb and taker_fee_ppb hold: start above it")
    for tier in tiers:
        for fee in (tier.maker_fee_ppb, tier.taker_fee_ppb):
            if not _is_int(fee) or not -PPB < fee < PPB:
                raise InstrumentError(f"{where}: {tier} needs fees in parts per billion, got {fee!r}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_amounts(amounts: Sequence[Decimal], money_unit: Decimal, where: str) -> None:
    if len(amounts) > TIERS_MAX:
        raise InstrumentError(f"{where} are {len(amounts)}, expected at most {TIERS_MAX}")
    before = None
    for amount in amounts:
        if not isinstance(amount, Decimal) or not amount.is_finite() or amount < 0:
            raise InstrumentError(f"{where}: {amount!r} is no amount, expected a decimal from 0 up")
        if amount >= AMOUNT_MAX * money_unit or _EXACT.remainder(amount, money_unit) != 0:
            raise InstrumentError(
                f"{where}: {amount} must be a multiple of {money_unit} below {AMOUNT_MAX * money_unit}"
            )
        if before is not None and amount <= before:
            raise InstrumentError(f"{where}: {amount} follows {before}, expected rising amounts")
        before = amount


def _money(amount: Decimal, money_unit: Decimal) -> int:
    return int(_EXACT.divide(amount, money_unit))


def margin_rows(tiers: Iterable[tuple[int, int, int]]) -> NDArray[np.int64]:
    """Table of tiers of (notional from in money units, initial ppm, maintenance ppm), the first from 0.

    int64[K, 7]; no tiers: K = 0. One row a tier: where it starts, then for the initial and for the maintenance margin
    the rate in ppm and a deduction, as whole units of money and millionths of one.

    The margin of a notional v in tier k is v * ppm - deduction; the deductions are what makes it continuous:
    deduction_k = deduction_(k-1) + from_k * (ppm_k - ppm_(k-1)).
    """
    rows: list[list[int]] = []
    deducted = [0, 0]  # in millionths of a unit: they may need more than 64 bits
    before = (0, 0)
    for start, *rates in tiers:
        deducted = [sum_ + start * (ppm - last) for sum_, ppm, last in zip(deducted, rates, before, strict=True)]
        rows.append([start, rates[0], *divmod(deducted[0], PPM), rates[1], *divmod(deducted[1], PPM)])
        before = (rates[0], rates[1])
    return np.array(rows, np.int64).reshape(len(rows), 7)


def margin_table(tiers: Iterable[MarginTier], money_unit: Decimal) -> NDArray[np.int64]:
    """`margin_rows` of an instrument's tiers."""
    return margin_rows((_money(one.notional_from, money_unit), one.initial_ppm, one.maintenance_ppm) for one in tiers)


def fee_table(maker_ppb: int, taker_ppb: int, tiers: Iterable[FeeTier], money_unit: Decimal) -> NDArray[np.int64]:
    """int64[K >= 1, 3] of (turnover from, maker ppb, taker ppb), the first from 0; turnover in money."""
    rows = [[0, maker_ppb, taker_ppb]]
    rows += [[_money(one.turnover_from, money_unit), one.maker_fee_ppb, one.taker_fee_ppb] for one in tiers]
    return np.array(rows, np.int64)


def tiers_to_json(tiers: Iterable[MarginTier] | Iterable[FeeTier]) -> list[dict[str, Any]]:
    """Plain data with the amounts as strings."""
    return [
        {name: str(value) if isinstance(value, Decimal) else value for name, value in vars(tier).items()}
        for tier in tiers
    ]


def tiers_of_json(
    kind: type[MarginTier] | type[FeeTier], rows: Iterable[Mapping[str, Any]], where: str
) -> tuple[Any, ...]:
    """The inverse of `tiers_to_json`. Raises `InstrumentError` for an amount that is no decimal."""
    made = []
    for row in rows:
        amounts = {name: value for name, value in row.items() if name.endswith("_from")}
        for name, value in amounts.items():
            try:
                amounts[name] = Decimal(value)
            except InvalidOperation:
                raise InstrumentError(f"{where}: {name} is {value!r}, not a decimal") from None
        made.append(kind(**{**row, **amounts}))
    return tuple(made)


def _margins(*rows: tuple[str, int, int]) -> tuple[MarginTier, ...]:
    return tuple(MarginTier(Decimal(start), initial, maintenance) for start, initial, maintenance in rows)


_LARGE: Final = _margins(
    ("0", 8_000, 4_000),  # 125 times
    ("500000", 10_000, 5_000),
    ("5000000", 20_000, 10_000),
    ("25000000", 50_000, 25_000),
    ("100000000", 100_000, 50_000),
)

DEFAULT_MARGIN: Final[dict[tuple[str, str], tuple[MarginTier, ...]]] = {
    ("binance-usdm", "BTCUSDT"): _LARGE,
    ("binance-usdm", "ETHUSDT"): _LARGE,
    ("binance-coinm", "BTCUSD_PERP"): _margins(
        ("0", 8_000, 4_000), ("10", 10_000, 5_000), ("100", 20_000, 10_000), ("500", 50_000, 25_000)
    ),
    ("binance-coinm", "ETHUSD_PERP"): _margins(
        ("0", 10_000, 5_000), ("100", 20_000, 10_000), ("1000", 50_000, 25_000), ("5000", 100_000, 50_000)
    ),
}
DEFAULT_FUNDING_HOURS: Final = dict.fromkeys(DEFAULT_MARGIN, 8)
