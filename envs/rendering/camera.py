"""`Camera`: remembers what the lanes of a desk go through, and makes a `Scene` of one of them.

It reads and changes nothing: an episode that is filmed is bit for bit the one that is not (a test holds that). Book and
own orders are shown as the trader knows them; account, fills and places in the queue as they are at the venue, some of
which the trader learns later or never. That is for the people who watch, none of it is observed by a policy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.envs.rendering.meanings import meaning
from lobgym.envs.rendering.scene import NONE, Dial, Fill, Level, OwnQuote, Sample, Scene, Tile, compact, signed
from lobgym.sim.actions import EXECUTION, GRID, MAKER, TARGET
from lobgym.sim.records import BUY, LIVE, SELL, SENT
from lobgym.sim.view import level_qty

if TYPE_CHECKING:
    from lobgym.envs.core import EnvCore

__all__ = ["BOOK_LEVELS", "Camera"]

BOOK_LEVELS: Final = 8  # rows of the ladder a side
_DEEP_LEVELS: Final = 64  # how far the book is read to find the gaps before own quotes
_SAMPLES: Final = 240  # of the past that a picture shows
_FILLS: Final = 512
_LOG_ROWS: Final = 4096  # fills of all lanes in one step
_LOG_ROWS_LANE: Final = 256
_FRONT_UNIT: Final = 1.0 / (1 << 20)
_NAMES: Final = {
    GRID: "Grid",
    TARGET: "Target position",
    MAKER: "Market making",
    EXECUTION: "Execution",
}


class _Track:
    """What happened to one lane since its reset."""

    def __init__(self) -> None:
        self.start_ns = 0
        self.samples: deque[Sample] = deque(maxlen=_SAMPLES)
        self.fills: deque[Fill] = deque(maxlen=_FILLS)
        self.count = 0
        self.codes: NDArray[np.int32] | None = None


class Camera:
    """Films the lanes of `core`. The session's log of fills is its own: it must be told of every reset and step.

    Args:
        core: the desk and its episodes.
        caption: lines of text about a lane, by its number, for those who act above the desk.
    """

    def __init__(self, core: EnvCore, caption: Callable[[int], tuple[str, ...]] | None = None) -> None:
        self._core = core
        self._caption = caption
        self._made = core.market.instrument
        self._lot = float(self._made.lot_size) * float(self._made.contract_size)
        self._digits = max(0, -int(self._made.tick_size.as_tuple().exponent))
        self._tracks = [_Track() for _ in range(core.lanes)]
        core.desk.session.keep_log("fills", max(_LOG_ROWS, _LOG_ROWS_LANE * core.lanes))

    def began(self, mask: NDArray[np.bool_] | None = None) -> None:
        """The lanes of `mask` (default: all) have been reset."""
        self._take_fills()
        for i in range(len(self._tracks)):
            if mask is None or mask[i]:
                self._tracks[i] = _Track()
                self._tracks[i].start_ns = self._core.desk.session.t_ns(i)
                self._sample(i)

    def stepped(self, actions: ArrayLike | None = None, mask: NDArray[np.bool_] | None = None) -> None:
        """The lanes of `mask` have made a step with these raw actions."""
        self._take_fills()
        codes = None if actions is None else self._core.spec.action.decode(actions)
        for i in range(len(self._tracks)):
            if mask is None or mask[i]:
                self._tracks[i].codes = None if codes is None else codes[i]
                self._sample(i)

    # -- the past ----------------------------------------------------------------------------------------------------

    def _take_fills(self) -> None:
        for fill in self._core.desk.session.drain_fills():
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

    def _sample(self, lane: int) -> None:
        track, session = self._tracks[lane], self._core.desk.session
        bid, ask = session.bests(lane)
        quotes = self._quotes(lane)
        bids = [tick for side, tick in quotes if side == BUY]
        asks = [tick for side, tick in quotes if side == SELL]
        account = session.account(lane)
        track.samples.append(
            Sample(
                (session.t_ns(lane) - track.start_ns) / 1e9,
                self._price(bid),
                self._price(ask),
                self._price(max(bids, default=None)),
                self._price(min(asks, default=None)),
                account.position_lots * self._lot,
                self._made.money_to_float(self._core.desk.equity(lane)),
                self._wish(lane),
            )
        )

    def _quotes(self, lane: int) -> dict[tuple[int, int], list[OwnQuote]]:
        """Own orders that may still fill, by (side, tick), oldest first."""
        found: dict[tuple[int, int], list[OwnQuote]] = {}
        for order in self._core.desk.session.orders(lane):
            if order["view_state"] not in (SENT, LIVE) or order["view_leaves"] <= 0:
                continue
            ahead = int(order["front"]) * _FRONT_UNIT * self._lot if order["state"] == LIVE else None
            quote = OwnQuote(int(order["view_leaves"]) * self._lot, ahead, bool(order["cancel_sent"]))
            found.setdefault((int(order["side"]), int(order["view_tick"])), []).append(quote)
        return found

    def _wish(self, lane: int) -> float:
        """The position aimed at: a target, or where the even pace of a parent order would be."""
        spec, codes = self._core.spec, self._tracks[lane].codes
        if spec.kind == TARGET and codes is not None:
            return spec.target_lots[int(codes[0])] * self._lot
        task = self._core.desk.tasks[lane]
        if spec.kind != EXECUTION or task["side"] == 0:
            return NONE
        done_ns = self._core.desk.session.t_ns(lane) - int(task["start_ns"])
        share = min(1.0, done_ns / (int(task["end_ns"]) - int(task["start_ns"])))
        return float(task["side"] * task["lots"] * share * self._lot)

    def _notes(self, lane: int) -> tuple[str, ...]:
        """What no dial says: the parent order, and the caption."""
        notes = () if self._caption is None else self._caption(lane)
        task = self._core.desk.tasks[lane]
        if task["side"] == 0:
            return notes
        done = int(task["side"]) * self._core.desk.session.account(lane).position_lots
        left_s = max(0, int(task["end_ns"]) - self._core.desk.session.t_ns(lane)) / 1e9
        arrival = float(self._made.ticks_to_price(int(task["arrival2"]))) / 2
        what = "buy" if task["side"] == BUY else "sell"
        lots = int(task["lots"])
        return (
            f"{what} {compact(lots * self._lot)}: {100 * done / lots:.0f}% done, {left_s:,.1f} s left, "
            f"arrival {arrival:,.{self._digits}f}",
            *notes,
        )

    # -- the scene ---------------------------------------------------------------------------------------------------

    def scene(self, lane: int = 0) -> Scene:
        """What the lane looks like now."""
        core, track = self._core, self._tracks[lane]
        session = core.desk.session
        quotes = self._quotes(lane)
        return Scene(
            title=f"{_NAMES.get(core.spec.kind, core.spec.kind)}  ·  {self._made.symbol}",
            subtitle=self._subtitle(lane),
            spread=self._spread(*session.bests(lane)),
            bids=self._levels(lane, BUY, quotes),
            asks=self._levels(lane, SELL, quotes),
            samples=tuple(track.samples),
            fills=tuple(track.fills),
            dials=self._dials(track),
            tiles=self._tiles(lane),
            notes=self._notes(lane),
            price_digits=self._digits,
            position_max=core.spec.position_lots_max * self._lot,
            position_unit=self._made.base if not self._made.is_inverse else self._made.quote,
            money=self._made.base if self._made.is_inverse else self._made.quote,
        )

    def _spread(self, bid: int | None, ask: int | None) -> str:
        if bid is None or ask is None:
            return "a side of the book is empty"
        return f"spread {self._text(ask - bid)}   ({2e4 * (ask - bid) / (ask + bid):.2f} bps)"

    def _subtitle(self, lane: int) -> str:
        core = self._core
        seconds, rest = divmod(core.desk.session.t_ns(lane), 1_000_000_000)
        clock = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
        horizon = "" if core.horizon is None else f" of {core.horizon}"
        seed = "" if core.seeds is None else f"   seed {int(core.seeds[lane])}, episode {int(core.episode[lane])}"
        return f"{clock}.{rest // 1_000_000:03d} UTC   step {int(core.steps[lane])}{horizon}{seed}"

    def _tiles(self, lane: int) -> tuple[Tile, ...]:
        core, track = self._core, self._tracks[lane]
        now = track.samples[-1] if track.samples else Sample(0.0, NONE, NONE, NONE, NONE, 0.0, 0.0)
        money = self._made.base if self._made.is_inverse else self._made.quote
        fees = self._made.money_to_float(core.desk.session.account(lane).fees)
        return (
            Tile(f"PnL, {money}", _amount(now.pnl), (now.pnl > 0) - (now.pnl < 0)),
            Tile("position", signed(now.position, compact(abs(now.position)))),
            Tile("fills", f"{track.count:,}"),
            Tile("fees", _amount(fees).lstrip("+")),
            Tile("return", _amount(float(core.returns[lane]))),
        )

    def _dials(self, track: _Track) -> tuple[Dial, ...]:
        action = self._core.spec.action
        if track.codes is None:
            return tuple(Dial(name, -1, count) for name, count in zip(action.names, action.bins, strict=True))
        found = []
        for name, code, count in zip(action.names, track.codes.tolist(), action.bins, strict=True):
            found.append(Dial(name, code, count, meaning(self._core.spec, self._made, name, code)))
        return tuple(found)

    def _levels(self, lane: int, side: int, quotes: dict[tuple[int, int], list[OwnQuote]]) -> tuple[Level, ...]:
        """The best levels of a side, and those with own quotes: as many rows as there are, the furthest left out."""
        session = self._core.desk.session
        book = dict(session.ladder(lane, side, _DEEP_LEVELS).tolist())
        edge = min((side * tick for tick in book), default=0) if len(book) == _DEEP_LEVELS else None
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
            lots = self._displayed(lane, side, tick) if beyond else book.get(tick, 0)
            levels.append(Level(self._text(tick), lots * self._lot, own.get(tick, ()), gap))
        return tuple(levels)

    def _displayed(self, lane: int, side: int, tick: int) -> int:
        cursor = int(self._core.desk.session.state.lane["local_cursor"][lane])
        return int(level_qty(self._core.market.local_view[0], side, tick, cursor))

    def _price(self, tick: int | None) -> float:
        return NONE if tick is None else float(self._made.ticks_to_price(tick))

    def _text(self, tick: int) -> str:
        return f"{self._made.ticks_to_price(tick):,.{self._digits}f}"


def _amount(value: float) -> str:
    size = abs(value)
    text = f"{size:,.2f}" if size >= 0.005 or size == 0 else f"{size:.3g}"
    return signed(value, text)
