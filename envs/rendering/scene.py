"""`Scene`: what one picture of a trader shows, as plain data. Who makes it and who draws it know nothing of each other.

A replay's camera (`lobgym.envs.rendering.camera`) makes scenes of a desk's lane; anything else that has a book, own
quotes and an account can make its own and have them drawn by `lobgym.envs.rendering.painter` or `text`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

__all__ = ["Dial", "Fill", "Level", "OwnQuote", "Sample", "Scene", "Tile", "compact", "signed"]

NONE: Final = float("nan")


@dataclass(frozen=True)
class OwnQuote:
    """An own order at a level. Quantities in units of the base (or contracts).

    `ahead` is the displayed quantity that stands before it; None while the order has not reached the venue.
    """

    qty: float
    ahead: float | None = None
    leaving: bool = False  # its cancellation is on its way


@dataclass(frozen=True)
class Level:
    """A price of the book, and what the trader has there. `gap`: the book has levels between it and the one before."""

    price: str
    qty: float
    own: tuple[OwnQuote, ...] = ()
    gap: bool = False


class Sample(NamedTuple):
    """The state after one step. Prices in quote units, NaN where there is none."""

    seconds: float  # since the episode's start
    bid: float
    ask: float
    own_bid: float
    own_ask: float
    position: float
    pnl: float
    wish: float = NONE  # the position that is aimed at, where there is such a thing


class Fill(NamedTuple):
    """An own trade."""

    seconds: float
    price: float
    qty: float
    buy: bool
    maker: bool


@dataclass(frozen=True)
class Dial:
    """One dimension of the last action: code `at` of `count`, and what it means."""

    name: str
    at: int
    count: int
    meaning: str = ""


@dataclass(frozen=True)
class Tile:
    """A figure of the head line. `tone`: 1 good, -1 bad, 0 neither."""

    label: str
    value: str
    tone: int = 0


@dataclass(frozen=True)
class Scene:
    """One picture. `bids` and `asks` are sorted from the best outwards; `samples` and `fills` by time."""

    title: str
    subtitle: str
    spread: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    samples: tuple[Sample, ...]
    fills: tuple[Fill, ...]
    dials: tuple[Dial, ...] = ()
    tiles: tuple[Tile, ...] = ()
    price_digits: int = 2
    position_max: float = 1.0
    position_unit: str = ""
    money: str = ""
    notes: tuple[str, ...] = field(default=())


def compact(value: float) -> str:
    """A quantity in at most six characters or so: 0.005, 12.35, 1,204, 35.1k, 2.10M."""
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e6:
        return f"{value / 1e6:.2f}M"
    if size >= 1e4:
        return f"{value / 1e3:.1f}k"
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3
    if size < 0.001:
        return f"{value:.2g}"
    return f"{value:,.{digits}f}"


def signed(value: float, text: str) -> str:
    """`text`, which is the size of `value`, with a sign."""
    return f"+{text}" if value > 0 else f"-{text}" if value < 0 else text
