"""`Camera`: remembers what traders go through, and makes a `Scene` of one of them.

It reads and changes nothing: an episode that is filmed is bit for bit the one that is not (a test holds that). Book and
own orders are shown as the trader knows them; account, fills and places in the queue as they are at the venue, some of
which the trader learns later or never. That is for the people who watch, none of it is observed by a policy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.envs.rendering.meanings import meaning
from lobgym.envs.rendering.scene import NONE, Dial, Fill, Level, OwnQuote, Sample, Scene, Tile, compact, signed
from lobgym.envs.rendering.source import Source
from lobgym.sim.actions import EXECUTION, GRID, MAKER, TARGET
from lobgym.sim.records import BUY, SELL

__all__ = ["BOOK_LEVELS", "Camera", "Caption"]

Caption = Callable[[int], tuple[str, ...]]

BOOK_LEVELS: Final = 8  # rows of the ladder a side
_SAMPLES: Final = 240  # of the past that a picture shows
_FILLS: Final = 512
_NAMES: Final = {
    GRID: "Grid",
    TARGET: "Target position",
    MAKER: "Market making",
    EXECUTION: "Execution",
}


class _Track:
    """What happened to one trader since its reset."""

    def __init__(self, start_ns: int = 0) -> None:
        self.start_ns = start_ns
        self.samples: deque[Sample] = deque(maxlen=_SAMPLES)
        self.fills: deque[Fill] = deque(maxlen=_FILLS)
        self.count = 0
        self.codes: NDArray[np.int32] | None = None


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
        self._tracks = [_Track() for _ in range(source.traders)]

    def began(self, mask: NDArray[np.bool_] | None = None) -> None:
        """The traders of `mask` (default: all) have been reset."""
        self._take_fills()
        for i in range(len(self._tracks)):
            if mask is None or mask[i]:
                self._tracks[i] = _Track(self._source.t_ns(i))
                self._sample(i)

    def stepped(self, actions: ArrayLike | None = None, mask: NDArray[np.bool_] | None = None) -> None:
        """The traders of `mask` have made a step with these raw actions."""
        self._take_fills()
        codes = None if actions is None else self._source.codes(actions)
        for i in range(len(self._tracks)):
            if mask is None or mask[i]:
                self._tracks[i].codes = None if codes is None else codes[i]
                self._sample(i)

    # -- the past ------------------------------------------------------------------------------------------------------

    def _take_fills(self) -> None:
        for fill in self._source.take_fills():
            track = self._tracks[int(fill["lane"])]
            track.count += 1
            track.fills.append(
                Fill(
                    (int(fill["exch_ns"]) - track.start_ns) / 1e9,
                    self._price(int(fill["tick"])),
                    int(fill["qty"]) * self._lot,
                    bool(fill["side"] == BUY),
                    bool(fill["maker"]),
                )
            )

    def _sample(self, i: int) -> None:
        track, source = self._tracks[i], self._source
        bid, ask = source.bests(i)
        quotes = self._quotes(i)
        bids = [tick for side, tick in quotes if side == BUY]
        asks = [tick for side, tick in quotes if side == SELL]
        position, equity, _ = source.account(i)
        track.samples.append(
            Sample(
                (source.t_ns(i) - track.start_ns) / 1e9,
                self._price(bid),
                self._price(ask),
                self._price(max(bids, default=None)),
                self._price(min(asks, default=None)),
                position * self._lot,
                self._made.money_to_float(equity),
                self._wish(i),
            )
        )

    def _quotes(self, i: int) -> dict[tuple[int, int], list[OwnQuote]]:
        """Own orders that may still fill, by (side, tick), oldest first."""
        found: dict[tuple[int, int], list[OwnQuote]] = {}
        for order in self._source.orders(i):
            ahead = None if order.ahead_lots is None else order.ahead_lots * self._lot
            quote = OwnQuote(order.lots * self._lot, ahead, order.leaving)
            found.setdefault((order.side, order.tick), []).append(quote)
        return found

    def _wish(self, i: int) -> float:
        """The position aimed at: a target, or where the even pace of a parent order would be."""
        spec, codes = self._source.spec(i), self._tracks[i].codes
        if spec.kind == TARGET and codes is not None:
            return spec.target_lots[int(codes[0])] * self._lot
        task = self._source.task(i)
        if spec.kind != EXECUTION or task["side"] == 0:
            return NONE
        done_ns = self._source.t_ns(i) - int(task["start_ns"])
        share = min(1.0, done_ns / (int(task["end_ns"]) - int(task["start_ns"])))
        return float(task["side"] * task["lots"] * share * self._lot)

    # -- the scene -----------------------------------------------------------------------------------------------------

    def scene(self, i: int = 0) -> Scene:
        """What the trader looks like now."""
        source, track = self._source, self._tracks[i]
        spec, quotes = source.spec(i), self._quotes(i)
        return Scene(
            title=f"{_NAMES.get(spec.kind, spec.kind)}  ·  {source.title(i)}",
            subtitle=self._subtitle(i),
            spread=self._spread(*source.bests(i)),
            bids=self._levels(i, BUY, quotes),
            asks=self._levels(i, SELL, quotes),
            samples=tuple(track.samples),
            fills=tuple(track.fills),
            dials=self._dials(i),
            tiles=self._tiles(i),
            notes=self._notes(i),
            price_digits=self._digits,
            position_max=spec.position_lots_max * self._lot,
            position_unit=self._made.base if not self._made.is_inverse else self._made.quote,
            money=self._made.base if self._made.is_inverse else self._made.quote,
        )

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
            Tile("fills", f"{self._tracks[i].count:,}"),
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
        spec, codes = self._source.spec(i), self._tracks[i].codes
        found = []
        for k, (name, count) in enumerate(zip(spec.action.names, spec.action.bins, strict=True)):
            if codes is None:
                found.append(Dial(name, -1, count))
            else:
                found.append(Dial(name, int(codes[k]), count, meaning(spec, self._made, name, int(codes[k]))))
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

    def _price(self, tick: int | None) -> float:
        return NONE if tick is None else float(self._made.ticks_to_price(tick))

    def _text(self, tick: int) -> str:
        return f"{self._made.ticks_to_price(tick):,.{self._digits}f}"


def _amount(value: float) -> str:
    size = abs(value)
    text = f"{size:,.2f}" if size >= 0.005 or size == 0 else f"{size:.3g}"
    return signed(value, text)
