"""`HindsightPrices`: what a change of position would have cost at every decision, known afterwards.

A decision at t sees the local book; its order reaches the exchange an entry latency later and walks what stands there,
as far as the desk's IOC may (`lobgym.sim.quotes.target`). The position is marked at the local mid, as the desk marks
it. Left out: own orders that took the same level just before, a fee tier that volume leads to, funding, and what of a
latency is drawn; so this is the market as one small trader meets it, to the last unit of money.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.errors import TrainError
from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.jit import njit_inline, njit_lean
from lobgym.sim.market import Market
from lobgym.sim.mids import last_quoted_mid2, quoted_mid2
from lobgym.sim.money import Economics, cash_of, fee_of, is_money, mark_value
from lobgym.sim.records import BUY, SELL
from lobgym.sim.view import (
    BookView,
    best_ask,
    best_ask_level,
    best_bid,
    best_bid_level,
    level_qty_by_id,
    level_tick,
    next_level,
    seek_stamp,
    stamp_row,
    stamps_at,
)

__all__ = ["NEVER", "HindsightPrices"]

NEVER: Final = -(1 << 62)  # in place of the money of a trade that could not be done
_LEVELS_MAX: Final = 64  # that one order is walked over


@dataclass(frozen=True, eq=False)
class HindsightPrices:
    """T decisions of one desk, in money units.

    Attributes:
        times: int64[T + 1]: the decisions, and the end of the last one's interval.
        lots: int64[P]: the desk's target positions.
        values: int64[T + 1, P]: what each of them is worth at the local mid then.
        trades: int64[T, P, P]: change of cash, fees paid, of going from one to another; NEVER where the visible book
            did not reach.
    """

    times: NDArray[np.int64]
    lots: NDArray[np.int64]
    values: NDArray[np.int64]
    trades: NDArray[np.int64]

    @property
    def steps(self) -> int:
        """Number of decisions, T."""
        return len(self.trades)

    @classmethod
    def of(cls, market: Market, spec: DeskSpec, start_ns: int, steps: int) -> HindsightPrices:
        """`steps` decisions from `start_ns` on, an interval apart.

        Raises:
            TrainError: no target desk, or decisions that the tape does not hold.
        """
        if spec.kind != "target":
            raise TrainError(f"the teacher trades target positions, not at a desk of kind {spec.kind!r}")
        end_ns = start_ns + steps * spec.interval_ns
        if steps < 1 or start_ns < market.start_ns or end_ns > market.end_ns:
            raise TrainError(
                f"{steps} decisions from {start_ns} on, {spec.interval_ns} ns apart, do not fit into the tape from "
                f"{market.start_ns} to {market.end_ns}"
            )
        lots = np.array(spec.target_lots, np.int64)
        sizes = np.unique(np.abs(lots[:, None] - lots[None, :]))  # the first is 0
        values = np.empty((steps + 1, len(lots)), np.int64)
        nets = np.empty((2, len(sizes)), np.int64)
        trades = np.empty((steps, len(lots), len(lots)), np.int64)
        params = spec.params
        entry_ns = params.entry_ns + params.submit_extra_ns
        times = start_ns + np.arange(steps + 1, dtype=np.int64) * spec.interval_ns
        local, exch = market.local_view[0], market.exch_view[0]
        _fill(
            local, exch, market.economics(), times, params.feed_delay_ns, entry_ns, _taker_fee(market, spec),
            spec.sweep_ticks, lots, sizes, np.searchsorted(sizes, np.abs(lots[:, None] - lots[None, :])), nets,
            values, trades,
        )  # fmt: skip
        for array in (times, lots, values, trades):
            array.setflags(write=False)
        return cls(times, lots, values, trades)


def _taker_fee(market: Market, spec: DeskSpec) -> int:
    """Parts per billion that a first trade pays."""
    params = spec.params
    if params.taker_fee_ppb is not None:
        return int(params.taker_fee_ppb)
    if params.fee_tiers is not None:
        return int(params.fee_tiers[0][2])
    return int(market.instrument.taker_fee_ppb)


# -- kernels -----------------------------------------------------------------------------------------------------------


@njit_inline
def _no_price(tick: int) -> bool:
    return tick in (NO_ASK, NO_BID)


@njit_lean
def _sweep(
    exch: BookView, econ: Economics, cursor: int, side: int, limit: int, fee_ppb: int, sizes: NDArray[np.int64],
    nets: NDArray[np.int64],
) -> None:  # fmt: skip
    """Change of cash, fee paid, of an IOC of each of the sizes [S], which ascend from 0; NEVER beyond what there is."""
    count = sizes.shape[0]
    for k in range(count):
        nets[k] = NEVER
    nets[0] = 0
    level = best_ask_level(exch, cursor) if side == BUY else best_bid_level(exch, cursor)
    walked = 0  # lots
    paid = 0
    k = 1
    for _ in range(_LEVELS_MAX):
        if level < 0 or k == count:
            return
        tick = level_tick(exch, level)
        if side * tick > side * limit:
            return
        there = level_qty_by_id(exch, level, cursor)
        while k < count and sizes[k] <= walked + there:
            cash = cash_of(econ, side, tick, sizes[k] - walked)
            nets[k] = paid + cash - fee_of(cash, fee_ppb)
            k += 1
        cash = cash_of(econ, side, tick, there)
        paid += cash - fee_of(cash, fee_ppb)
        walked += there
        level = next_level(exch, -side, level, cursor)


@njit_lean
def _fill(
    local: BookView, exch: BookView, econ: Economics, times: NDArray[np.int64], feed_ns: int, entry_ns: int,
    fee_ppb: int, sweep_ticks: int, lots: NDArray[np.int64], sizes: NDArray[np.int64], which: NDArray[np.int64],
    nets: NDArray[np.int64], values: NDArray[np.int64], trades: NDArray[np.int64],
) -> None:  # fmt: skip
    """See `HindsightPrices`; which: [P, P], the place of each change's size in `sizes` [S]; nets: [2, S], scratch."""
    positions = lots.shape[0]
    steps = times.shape[0] - 1
    seen = stamps_at(local, times[0] - feed_ns)
    met = stamps_at(exch, times[0] + entry_ns)
    cursor = stamp_row(local, seen)
    mid2 = last_quoted_mid2(local, cursor, 0)
    for t in range(steps + 1):
        seen = seek_stamp(local, seen, times[t] - feed_ns)
        cursor = stamp_row(local, seen)
        quoted = quoted_mid2(local, cursor)
        mid2 = quoted if quoted > 0 else mid2
        for i in range(positions):
            values[t, i] = mark_value(econ, lots[i], mid2)
        if t == steps:
            return
        met = seek_stamp(exch, met, times[t] + entry_ns)
        bid, ask = best_bid(local, cursor), best_ask(local, cursor)
        for row in range(2):
            nets[row, 0] = 0
            for k in range(1, sizes.shape[0]):
                nets[row, k] = NEVER
        if not _no_price(bid) and not _no_price(ask):
            there = stamp_row(exch, met)
            _sweep(exch, econ, there, BUY, ask + sweep_ticks, fee_ppb, sizes, nets[0])
            _sweep(exch, econ, there, SELL, max(bid - sweep_ticks, 1), fee_ppb, sizes, nets[1])
        for i in range(positions):
            for j in range(positions):
                net = nets[0 if lots[j] > lots[i] else 1, which[i, j]]
                trades[t, i, j] = net if is_money(net) else NEVER
