"""What is traded: exact tick and lot sizes, contract size, fees, and the integer unit that money is counted in.

Money is an integer count of `Instrument.money_unit`. For linear contracts and spot that is 1e-8 of the quote
currency, and one tick times one lot is exactly `money_per_tick_lot` units. For inverse contracts (quoted in the
quote currency, settled in the base currency) it is 1e-12 of the base currency, and `lots` bought at `ticks` cost
`lots * inverse_scale / ticks` units.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from decimal import Context, Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import msgspec

from lobgym.sim.errors import InstrumentError

__all__ = ["BUILTIN", "KINDS", "SYNTH", "Instrument", "find_instrument", "load_instrument"]

KINDS: Final = ("linear", "inverse", "spot")
INT_MAX: Final = 2**62  # the largest tick or lot count that a tape may hold
FEE_PPB_MAX: Final = 1_000_000_000
_EXACT: Final = Context(prec=80)  # wide enough that no product or quotient below is ever rounded
_DECIMALS: Final = ("tick_size", "lot_size", "contract_size")


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


@dataclass(frozen=True)
class Instrument:
    """One tradable symbol. Raises `InstrumentError` when its sizes contradict each other.

    `contract_size` is 1 for spot, base units per lot unit for linear, quote units per contract for inverse.
    Fees are parts per billion of the notional; a negative one is a rebate.
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
        _ = self.money_per_tick_lot, self.inverse_scale

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
        return {name: str(value) if name in _DECIMALS else value for name, value in asdict(self).items()}

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
