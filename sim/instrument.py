"""What is traded: exact tick and lot sizes, contract size, fees, and the integer unit that money is counted in.

Money is an integer count of `Instrument.money_unit`. For linear contracts and spot that is 1e-8 of the quote
currency, and one tick times one lot is exactly `money_per_tick_lot` units. For inverse contracts (quoted in the
quote currency, settled in the base currency) it is 1e-12 of the base currency, and `lots` bought at `ticks` cost
`lots * inverse_scale / ticks` units.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from decimal import Context, Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from lobgym.sim import tiers
from lobgym.sim.errors import InstrumentError
from lobgym.sim.tiers import FeeTier, MarginTier

__all__ = ["BUILTIN", "KINDS", "SYNTH", "Instrument", "find_instrument", "load_instrument"]

KINDS: Final = ("linear", "inverse", "spot")
INT_MAX: Final = 2**62  # the largest tick or lot count that a tape may hold
FEE_PPB_MAX: Final = 1_000_000_000
_EXACT: Final = Context(prec=80)  # wide enough that no product or quotient below is ever rounded
_DECIMALS: Final = ("tick_size", "lot_size", "contract_size")
_TIERS: Final[dict[str, type[MarginTier] | type[FeeTier]]] = {"margin_tiers": MarginTier, "fee_tiers": FeeTier}
_OPTIONAL: Final = (*_TIERS, "liquidation_fee_ppb", "funding_hours")


class _MarginTierFile(msgspec.Struct, forbid_unknown_fields=True):
    notional_from: str
    initial_ppm: int
    maintenance_ppm: int


class _FeeTierFile(msgspec.Struct, forbid_unknown_fields=True):
    turnover_from: str
    maker_fee_ppb: int
    taker_fee_ppb: int


class _InstrumentFile(msgspec.Struct, forbid_unknown_fields=True):
    """Shape of an instrument file. Sizes are strings, because a JSON number is binary and 0.1 is not."""

    symbol: str
    venue: str
    kind: str
    base: str
    quote: str
    tick_size: str
    lot_size: str
    maker_fee_ppb: int
    taker_fee_ppb: int
    contract_size: str = "1"
    margin_tiers: list[_MarginTierFile] | None = None
    fee_tiers: list[_FeeTierFile] | None = None
    liquidation_fee_ppb: int | None = None
    funding_hours: int | None = None


@dataclass(frozen=True)
class Instrument:
    """One tradable symbol. Raises `InstrumentError` when its sizes contradict each other.

    `contract_size` is 1 for spot, base units per lot unit for linear, quote units per contract for inverse.
    Fees are parts per billion of the notional; a negative one is a rebate.

    The last four are optional. What is None takes the default of `margin`, `liquidation_fee` and `funding_interval_h`,
    and is not written to JSON: a tape's digest covers the instrument, and those of older tapes must still hold.
    `margin_tiers` begin at a notional of 0, `fee_tiers` at the turnover from which they replace the two fees above;
    both in the currency of the account (quote, for inverse contracts base).
    """

    symbol: str
    venue: str
    kind: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    contract_size: Decimal
    maker_fee_ppb: int
    taker_fee_ppb: int
    margin_tiers: tuple[MarginTier, ...] | None = None
    fee_tiers: tuple[FeeTier, ...] | None = None
    liquidation_fee_ppb: int | None = None
    funding_hours: int | None = None

    def __post_init__(self) -> None:
        for name in ("symbol", "venue", "base", "quote"):
            if not getattr(self, name):
                raise InstrumentError(f"instrument {self.symbol or '?'}: {name} is empty")
        if self.kind not in KINDS:
            raise InstrumentError(f"instrument {self.symbol}: kind is {self.kind!r}, not one of {', '.join(KINDS)}")
        for name in _DECIMALS:
            value = getattr(self, name)
            if not isinstance(value, Decimal) or not value.is_finite() or value <= 0:
                raise InstrumentError(f"instrument {self.symbol}: {name} is {value}, expected a decimal above 0")
        for name in ("maker_fee_ppb", "taker_fee_ppb"):
            fee = getattr(self, name)
            if not isinstance(fee, int) or not -FEE_PPB_MAX < fee < FEE_PPB_MAX:
                raise InstrumentError(f"instrument {self.symbol}: {name} is {fee!r}, expected parts per billion")
        if self.kind == "spot" and self.contract_size != 1:
            raise InstrumentError(f"instrument {self.symbol}: contract_size is {self.contract_size}; spot has 1")
        # Asking for them once proves that they are whole numbers.
        _ = self.money_per_tick_lot, self.inverse_scale, self.tick_fraction, self.unit_fraction
        self._check_optional()

    def _check_optional(self) -> None:
        where = f"instrument {self.symbol}"
        tiers.check_margin_tiers(self.margin_tiers or (), self.money_unit, where)
        tiers.check_fee_tiers(self.fee_tiers or (), self.money_unit, where)
        for name, low, high in (("liquidation_fee_ppb", 0, FEE_PPB_MAX - 1), ("funding_hours", 1, 24)):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high
            ):
                raise InstrumentError(f"{where}: {name} is {value!r}, expected a whole number from {low} to {high}")
        if self.kind == "spot" and any(
            value is not None for value in (self.margin_tiers, self.liquidation_fee_ppb, self.funding_hours)
        ):
            raise InstrumentError(f"{where}: a spot market has neither margin nor liquidation nor funding")

    @property
    def is_inverse(self) -> bool:
        """Whether the contract is quoted in one currency and settled in the other."""
        return self.kind == "inverse"

    @property
    def money_unit(self) -> Decimal:
        """What one integer of money is worth: 1e-8 quote units, or 1e-12 base units for inverse contracts."""
        return Decimal("1e-12") if self.is_inverse else Decimal("1e-8")

    @property
    def money_per_tick_lot(self) -> int:
        """Money units of one tick times one lot; 0 for inverse contracts."""
        if self.is_inverse:
            return 0
        worth = _EXACT.multiply(_EXACT.multiply(self.tick_size, self.lot_size), self.contract_size)
        return self._whole(_EXACT.divide(worth, self.money_unit), "tick_size * lot_size * contract_size / 1e-8")

    @property
    def inverse_scale(self) -> int:
        """Inverse contracts: money units of one lot at one tick; 0 for the others."""
        if not self.is_inverse:
            return 0
        worth = _EXACT.divide(_EXACT.multiply(self.contract_size, self.lot_size), self.tick_size)
        return self._whole(_EXACT.divide(worth, self.money_unit), "contract_size * lot_size / tick_size / 1e-12")

    @property
    def tick_fraction(self) -> tuple[int, int]:
        """One tick in 1e-8 quote units, as a reduced fraction: the unit of mark prices against that of the book."""
        return self._ratio(Fraction(self.tick_size) * 10**8, "tick_size")

    @property
    def unit_fraction(self) -> tuple[int, int]:
        """Linear and spot: money of one lot at a mark price of 1e-8, as a reduced fraction; 0 / 1 for inverse."""
        if self.is_inverse:
            return 0, 1
        return self._ratio(Fraction(self.lot_size) * Fraction(self.contract_size), "lot_size * contract_size")

    def _ratio(self, value: Fraction, formula: str) -> tuple[int, int]:
        if max(value.numerator, value.denominator) >= INT_MAX:
            raise InstrumentError(f"instrument {self.symbol}: {formula} is {float(value)}: too fine or too coarse")
        return value.numerator, value.denominator

    # -- what the venue asks for beyond fees ---------------------------------------------------------------------------

    @property
    def margin(self) -> tuple[MarginTier, ...]:
        """The margin tiers: its own, else the default ones of a built-in perpetual, else none."""
        if self.margin_tiers is not None:
            return self.margin_tiers
        return tiers.DEFAULT_MARGIN.get((self.venue, self.symbol), ()) if self.kind != "spot" else ()

    @property
    def liquidation_fee(self) -> int:
        """Parts per billion of the notional that a liquidation costs on top of the taker fee; 0 unless stated."""
        return self.liquidation_fee_ppb or 0

    @property
    def funding_interval_h(self) -> int | None:
        """Hours from one funding settlement to the next; None where there is no funding, or none is known."""
        if self.funding_hours is not None or self.kind == "spot":
            return self.funding_hours
        return tiers.DEFAULT_FUNDING_HOURS.get((self.venue, self.symbol))

    def margin_table(self) -> NDArray[np.int64]:
        """int64[K, 7] of `lobgym.sim.tiers.margin_table`; K = 0: no margin is asked for."""
        return tiers.margin_table(self.margin, self.money_unit)

    def fee_table(self, maker_fee_ppb: int | None = None, taker_fee_ppb: int | None = None) -> NDArray[np.int64]:
        """int64[K, 3] of `lobgym.sim.tiers.fee_table`. A fee that is given replaces its column in every tier."""
        table = tiers.fee_table(self.maker_fee_ppb, self.taker_fee_ppb, self.fee_tiers or (), self.money_unit)
        for column, fee in ((1, maker_fee_ppb), (2, taker_fee_ppb)):
            if fee is not None:
                table[:, column] = fee
        return table

    def _whole(self, value: Decimal, formula: str) -> int:
        if not 1 <= value < INT_MAX or value != value.to_integral_value():
            raise InstrumentError(f"instrument {self.symbol}: {formula} is {value}, expected a whole number above 0")
        return int(value)

    def price_to_ticks(self, text: str) -> int:
        """Exact ticks of a decimal price. Raises `InstrumentError` when it is not a multiple of the tick size."""
        whole, rest = self._divide(text, self.tick_size, "price")
        if rest or whole == 0:
            raise InstrumentError(f"{self.symbol}: price {text!r} is no positive multiple of the tick {self.tick_size}")
        return whole

    def qty_to_lots(self, text: str) -> int:
        """Lots of a decimal quantity, rounded half to even: a remainder too small to count is no quantity."""
        whole, rest = self._divide(text, self.lot_size, "quantity")
        twice = 2 * rest
        return whole + (1 if twice > self.lot_size or (twice == self.lot_size and whole & 1) else 0)

    def _divide(self, text: str, unit: Decimal, what: str) -> tuple[int, Decimal]:
        try:
            value = Decimal(text)
            whole, rest = _EXACT.divmod(value, unit)
            if value >= 0 and whole < INT_MAX:
                return int(whole), rest
        except (InvalidOperation, TypeError, ValueError):
            pass
        raise InstrumentError(f"{self.symbol}: {what} {text!r} is no decimal from 0 to {INT_MAX} times {unit}")

    def ticks_to_price(self, ticks: int) -> Decimal:
        """Price of a number of ticks, exactly."""
        return int(ticks) * self.tick_size

    def lots_to_qty(self, lots: int) -> Decimal:
        """Quantity of a number of lots, exactly."""
        return int(lots) * self.lot_size

    def money_to_float(self, money: int) -> float:
        """Quote units (inverse: base units) of an amount of money, for display and rewards only."""
        return float(_EXACT.multiply(Decimal(int(money)), self.money_unit))

    def to_json(self) -> dict[str, Any]:
        """Plain data with the decimals as strings; `from_json` gives the same instrument back."""
        data: dict[str, Any] = {}
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if name in _TIERS and value is not None:
                data[name] = tiers.tiers_to_json(value)
            elif name not in _OPTIONAL or value is not None:
                data[name] = str(value) if name in _DECIMALS else value
        return data

    @classmethod
    def from_json(cls, data: Any) -> Instrument:
        """Instrument of `to_json`'s data. Raises `InstrumentError` on a missing, unknown or ill-typed field."""
        try:
            file = msgspec.convert(data, _InstrumentFile)
        except msgspec.ValidationError as error:
            raise InstrumentError(f"not an instrument: {error}") from None
        values = {field.name: getattr(file, field.name) for field in fields(cls)}
        for name in _DECIMALS:
            try:
                values[name] = Decimal(values[name])
            except InvalidOperation:
                raise InstrumentError(f"instrument {file.symbol}: {name} is {values[name]!r}, not a decimal") from None
        for name, kind in _TIERS.items():
            if values[name] is not None:
                rows = [msgspec.structs.asdict(row) for row in values[name]]
                values[name] = tiers.tiers_of_json(kind, rows, f"instrument {file.symbol}: {name}")
        return cls(**values)


def _builtin(venue: str, kind: str, symbol: str, tick: str, lot: str, contract: str = "1") -> Instrument:
    base = "SYN" if symbol == "SYNTH" else symbol[:3]
    quote = "USD" if kind == "inverse" or symbol == "SYNTH" else "USDT"
    maker, taker = (1_000_000, 1_000_000) if kind == "spot" else (200_000, 500_000)  # lowest tier, no discounts
    return Instrument(symbol, venue, kind, base, quote, Decimal(tick), Decimal(lot), Decimal(contract), maker, taker)


SYNTH: Final = _builtin("synthetic", "linear", "SYNTH", "0.1", "0.001")

BUILTIN: Final[dict[tuple[str, str], Instrument]] = {
    (one.venue, one.symbol): one
    for one in (
        _builtin("binance-spot", "spot", "BTCUSDT", "0.01", "0.00001"),
        _builtin("binance-spot", "spot", "ETHUSDT", "0.01", "0.0001"),
        _builtin("binance-usdm", "linear", "BTCUSDT", "0.1", "0.001"),
        _builtin("binance-usdm", "linear", "ETHUSDT", "0.01", "0.001"),
        _builtin("binance-coinm", "inverse", "BTCUSD_PERP", "0.1", "1", "100"),
        _builtin("binance-coinm", "inverse", "ETHUSD_PERP", "0.01", "1", "10"),
        SYNTH,
    )
}


def find_instrument(venue: str, symbol: str) -> Instrument:
    """Built-in instrument of a venue and symbol. Raises `InstrumentError` that lists the known ones."""
    try:
        return BUILTIN[venue, symbol]
    except KeyError:
        known = ", ".join(f"{v} {s}" for v, s in sorted(BUILTIN))
        raise InstrumentError(
            f"no built-in instrument {venue} {symbol} (there are: {known}); describe it in an instrument file"
        ) from None


def load_instrument(path: str | os.PathLike[str]) -> Instrument:
    """Instrument of a JSON file with the fields of `Instrument`. Raises `InstrumentError` naming the file."""
    file = Path(path)
    try:
        return Instrument.from_json(msgspec.json.decode(file.read_bytes()))
    except OSError as error:
        raise InstrumentError(f"{file}: cannot read the instrument file: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InstrumentError(f"{file}: not JSON: {error}") from None
    except InstrumentError as error:
        raise InstrumentError(f"{file}: {error}") from None
