"""`Camera`: remembers what traders go through, and makes a `Scene` of one of them.

It reads and changes nothing: an episode that is filmed is bit for bit the one that is not (a test holds that). Book and
own orders are shown as the trader knows them; account, fills and places in the queue as they are at the venue, some of
which the trader learns later or never. That is for the people who watch, none of it is observed by a policy.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.envs.rendering.look import ASK, BID, CODES, EQUITY, OWN_ASK, OWN_BID, POSITION, T_NS
from lobgym.envs.rendering.meanings import meaning
from lobgym.envs.rendering.reel import NOT_YET, Reel
from lobgym.envs.rendering.scene import NONE, Dial, Fill, Level, OwnQuote, Sample, Scene, Tile, compact, signed
from lobgym.envs.rendering.source import Source
from lobgym.sim.actions import EXECUTION, GRID, MAKER, TARGET
from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.records import BUY, SELL

__all__ = ["BOOK_LEVELS", "Camera", "Caption"]

Caption = Callable[[int], tuple[str, ...]]

BOOK_LEVELS: Final = 8  # rows of the ladder a side
_NAMES: Final = {
    GRID: "Grid",
    TARGET: "Target position",
    MAKER: "Market making",
    EXECUTION: "Execution",
}


class Camera:
    """Films the traders of a source. It must be told of every reset and step.

    Args:
        source: where they trade.
        caption: lines of text about a trader, by its number, for those who act above the desk.
    """

    def __init__(self, source: Source, caption: Caption | None = None) -> None:
        self._source = source
        self._caption = caption
        self._made = source.instrument
        self._lot = float(self._made.lot_size) * float(self._made.contract_size)
        self._digits = max(0, -int(self._made.tick_size.as_tuple().exponent))
        self._prices = {NO_BID: NONE, NO_ASK: NONE}
        self._everyone = np.ones(source.traders, np.bool_)
        codes = max(source.spec(i).action.size for i in range(source.traders))
        self._reel = Reel(source.traders, codes)
        self._looks = np.zeros((source.traders, CODES + codes), np.int64)

    def began(self, mask: NDArray[np.bool_] | None = None) -> None:
        """The traders of `mask` (default: all) have been reset."""
        self._reel.begin(self._look(mask), self._looks)

    def stepped(self, actions: ArrayLike | None = None, mask: NDArray[np.bool_] | None = None) -> None:
        """The traders of `mask` (default: all) have made a step; of `actions` counts what the desks heard of them."""
        self._reel.keep(self._look(mask), self._looks)

    def _look(self, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Look at the traders of `mask`, and take the fills that everybody had until now."""
        chosen = self._everyone if mask is None else mask
        self._reel.keep_fills(self._source.take_log())
        self._source.look(chosen, self._looks)
        return chosen

    # -- the scene -----------------------------------------------------------------------------------------------------

    def scene(self, i: int = 0) -> Scene:
        """What the trader looks like now."""
        source, spec, quotes = self._source, self._source.spec(i), self._quotes(i)
        return Scene(
            title=f"{_NAMES.get(spec.kind, spec.kind)}  ·  {source.title(i)}",
            subtitle=self._subtitle(i),
            spread=self._spread(*source.bests(i)),
            bids=self._levels(i, BUY, quotes),
            asks=self._levels(i, SELL, quotes),
            samples=self._samples(i),
            fills=self._fills(i),
            dials=self._dials(i),
            tiles=self._tiles(i),
            notes=self._notes(i),
            price_digits=self._digits,
            position_max=spec.position_lots_max * self._lot,
            position_unit=self._made.base if not self._made.is_inverse else self._made.quote,
            money=self._made.base if self._made.is_inverse else self._made.quote,
        )

    def _samples(self, i: int) -> tuple[Sample, ...]:
        start_ns, price, lot = int(self._reel.start_ns[i]), self._price, self._lot
        money, wish = self._made.money_to_float, self._wish(i)
        return tuple(
            Sample(
                (row[T_NS] - start_ns) / 1e9,
                price(row[BID]),
                price(row[ASK]),
                price(row[OWN_BID]),
                price(row[OWN_ASK]),
                row[POSITION] * lot,
                money(row[EQUITY]),
                wish(row),
            )
            for row in self._reel.looks(i)
        )

    def _wish(self, i: int) -> Callable[[list[int]], float]:
        """From a look to the position aimed at: a target, or where the even pace of a parent order would be."""
        spec, lot = self._source.spec(i), self._lot
        if spec.kind == TARGET:
            return lambda row: NONE if row[CODES] == NOT_YET else spec.target_lots[row[CODES]] * lot
        task = self._source.task(i)
        side, lots, start_ns, end_ns = (int(task[name]) for name in ("side", "lots", "start_ns", "end_ns"))
        if spec.kind != EXECUTION or side == 0:
            return lambda row: NONE
        return lambda row: side * lots * min(1.0, (row[T_NS] - start_ns) / (end_ns - start_ns)) * lot

    def _fills(self, i: int) -> tuple[Fill, ...]:
        start_ns, price, lot = int(self._reel.start_ns[i]), self._price, self._lot
        return tuple(
            Fill((ns - start_ns) / 1e9, price(tick), lots * lot, side == BUY, bool(maker))
            for ns, tick, lots, side, maker in self._reel.fills(i)
        )

    def _quotes(self, i: int) -> dict[tuple[int, int], list[OwnQuote]]:
        """Own orders that may still fill, by (side, tick), oldest first."""
        found: dict[tuple[int, int], list[OwnQuote]] = {}
        for order in self._source.orders(i):
            ahead = None if order.ahead_lots is None else order.ahead_lots * self._lot
            quote = OwnQuote(order.lots * self._lot, ahead, order.leaving)
            found.setdefault((order.side, order.tick), []).append(quote)
        return found

    def _spread(self, bid: int | None, ask: int | None) -> str:
        if bid is None or ask is None:
            return "a side of the book is empty"
        return f"spread {self._text(ask - bid)}   ({2e4 * (ask - bid) / (ask + bid):.2f} bps)"

    def _subtitle(self, i: int) -> str:
        seconds, rest = divmod(self._source.t_ns(i), 1_000_000_000)
        clock = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
        episode = self._source.episode(i)
        horizon = "" if episode.horizon is None else f" of {episode.horizon}"
        seed = "" if episode.seed is None else f"   seed {episode.seed}, episode {episode.number}"
        return f"{clock}.{rest // 1_000_000:03d} UTC   step {episode.step}{horizon}{seed}"

    def _tiles(self, i: int) -> tuple[Tile, ...]:
        money = self._made.base if self._made.is_inverse else self._made.quote
        position, equity, fees = self._source.account(i)
        pnl = self._made.money_to_float(equity)
        gained = self._source.episode(i).gained
        tiles = (
            Tile(f"PnL, {money}", _amount(pnl), (pnl > 0) - (pnl < 0)),
            Tile("position", signed(position, compact(abs(position) * self._lot))),
            Tile("fills", f"{self._reel.filled[i]:,}"),
            Tile("fees", _amount(self._made.money_to_float(fees)).lstrip("+")),
        )
        return tiles if gained is None else (*tiles, Tile("return", _amount(gained)))

    def _notes(self, i: int) -> tuple[str, ...]:
        """What no dial says: the parent order, and the caption."""
        notes = () if self._caption is None else self._caption(i)
        task = self._source.task(i)
        if self._source.spec(i).kind != EXECUTION or task["side"] == 0:
            return notes
        done = int(task["side"]) * self._source.account(i)[0]
        left_s = max(0, int(task["end_ns"]) - self._source.t_ns(i)) / 1e9
        arrival = float(self._made.ticks_to_price(int(task["arrival2"]))) / 2
        what = "buy" if task["side"] == BUY else "sell"
        lots = int(task["lots"])
        return (
            f"{what} {compact(lots * self._lot)}: {100 * done / lots:.0f}% done, {left_s:,.1f} s left, "
            f"arrival {arrival:,.{self._digits}f}",
            *notes,
        )

    def _dials(self, i: int) -> tuple[Dial, ...]:
        spec, codes = self._source.spec(i), self._reel.codes(i)
        found = []
        for name, count, code in zip(spec.action.names, spec.action.bins, codes, strict=False):
            said = "" if code == NOT_YET else meaning(spec, self._made, name, code)
            found.append(Dial(name, code, count, said))
        return tuple(found)

    def _levels(self, i: int, side: int, quotes: dict[tuple[int, int], list[OwnQuote]]) -> tuple[Level, ...]:
        """The best levels of a side, and those with own quotes: as many rows as there are, the furthest left out."""
        depth = self._source.depth
        book = self._source.ladder(i, side, depth)
        edge = min((side * tick for tick in book), default=0) if len(book) == depth else None
        own = {tick: tuple(orders) for (of, tick), orders in quotes.items() if of == side}
        order = sorted({*book, *own}, key=lambda tick: -side * tick)
        places = {tick: place for place, tick in enumerate(order)}
        shown = sorted(own, key=places.__getitem__)[: BOOK_LEVELS - 1]
        for tick in order:
            if len(shown) >= BOOK_LEVELS:
                break
            if tick not in shown:
                shown.append(tick)
        levels = []
        last = -1
        for tick in sorted(shown, key=places.__getitem__):
            beyond = edge is not None and side * tick < edge  # what else stands there was not read
            gap = places[tick] > last + 1 or beyond
            last = places[tick]
            lots = self._source.displayed(i, side, tick) if beyond else book.get(tick, 0)
            levels.append(Level(self._text(tick), lots * self._lot, own.get(tick, ()), gap))
        return tuple(levels)

    def _price(self, tick: int) -> float:
        price = self._prices.get(tick)
        if price is None:
            price = self._prices[tick] = float(self._made.ticks_to_price(tick))
        return price

    def _text(self, tick: int) -> str:
        return f"{self._made.ticks_to_price(tick):,.{self._digits}f}"


def _amount(value: float) -> str:
    size = abs(value)
    text = f"{size:,.2f}" if size >= 0.005 or size == 0 else f"{size:.3g}"
    return signed(value, text)
