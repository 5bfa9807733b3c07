"""Columns that compare the local book with its past, and those of the bars.

How many stamps the lane had seen at each earlier time has been looked up before (`lobgym.sim.encoder.prepare_lane`). A
lane whose feed is late looks no further than it has seen.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from lobgym.sim.bars import Bars, atr_ticks, bars_done, moment_at, natr_bps, quote_at, trade_at, volatility_bps
from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.columns.catalog import number_of, part
from lobgym.sim.columns.header import BACKS_S, Encoder, balance, put, then_at
from lobgym.sim.jit import njit_inline, njit_inner, njit_leaf

__all__ = ["bar_columns", "flow_columns", "quote_columns", "return_columns"]

_1S, _5S, _10S, _30S, _60S, _300S = range(len(BACKS_S))

_TWO_SIDED: Final = number_of("two_sided")
_SPREAD: Final = number_of("spread")
_RETURN_1S: Final = number_of("return_1s")
_RETURN_5S: Final = number_of("return_5s")
_RETURN_10S: Final = number_of("return_10s")
_RETURN_30S: Final = number_of("return_30s")
_RETURN_60S: Final = number_of("return_60s")
_RETURN_300S: Final = number_of("return_300s")
_TRADE_FLOW_1S: Final = number_of("trade_flow_1s")
_TRADE_FLOW_5S: Final = number_of("trade_flow_5s")
_TRADE_FLOW_30S: Final = number_of("trade_flow_30s")
_VOLUME_1S: Final = number_of("volume_1s")
_ACTIVITY: Final = number_of("activity")
_VPIN: Final = number_of("vpin")
_OFI_1S: Final = number_of("ofi_1s")
_OFI_5S: Final = number_of("ofi_5s")
_NATR_14: Final = number_of("natr_14")
_NATR_60: Final = number_of("natr_60")
_NATR_300: Final = number_of("natr_300")
_ATR_14: Final = number_of("atr_14")
_ATR_60: Final = number_of("atr_60")
_VOLATILITY_10S: Final = number_of("volatility_10s")
_VOLATILITY_60S: Final = number_of("volatility_60s")

_BACK_1: Final = part("back_1")
_BACK_5: Final = part("back_5")
_BACK_10: Final = part("back_10")
_BACK_30: Final = part("back_30")
_BACK_60: Final = part("back_60")
_BACK_300: Final = part("back_300")
_FAR_BACK: Final = part("back_10", "back_60", "back_300")
_BARS_10: Final = part("bars_10")
_BARS_14: Final = part("bars_14")
_BARS_60: Final = part("bars_60")
_BARS_300: Final = part("bars_300")
_TRADES: Final = part("trades")
_PRINTS_1: Final = part("prints_1")
_PRINTS_5: Final = part("prints_5")
_PRINTS_30: Final = part("prints_30")
_FLOW_1: Final = part("flow_1")
_FLOW_5: Final = part("flow_5")


Moment: TypeAlias = Any  # a record of MOMENT_DTYPE


@njit_inline
def _then(bars: Bars, encoder: Encoder, place: int, back: int) -> Moment:
    return moment_at(bars, then_at(encoder, place, back)["stamps"])


@njit_leaf
def quote_columns(bars: Bars, encoder: Encoder, now: Moment) -> tuple[int, float]:
    """Columns of the best quotes now; returns twice the mid in ticks, 0 where there is none, and the spread in bps."""
    quote = quote_at(bars, now["quote"])
    bid = quote["bid"]
    ask = quote["ask"]
    if bid == NO_BID or ask == NO_ASK:
        return 0, 0.0
    mid2 = int(bid + ask)
    spread_bps = (ask - bid) * 2e4 / mid2
    put(encoder, _TWO_SIDED, 1.0)
    put(encoder, _SPREAD, spread_bps)
    return mid2, spread_bps


@njit_leaf
def _return_bps(bars: Bars, then: Moment, mid2: int) -> float:
    quote = quote_at(bars, then["quote"])
    if mid2 == 0 or quote["bid"] == NO_BID or quote["ask"] == NO_ASK:
        return 0.0
    then2 = quote["bid"] + quote["ask"]
    return float((mid2 - then2) * 1e4 / then2)


@njit_inner
def _far_returns(bars: Bars, encoder: Encoder, place: int, mid2: int) -> None:
    needs = encoder["needs"]
    if needs & _BACK_10:
        put(encoder, _RETURN_10S, _return_bps(bars, _then(bars, encoder, place, _10S), mid2))
    if needs & _BACK_60:
        put(encoder, _RETURN_60S, _return_bps(bars, _then(bars, encoder, place, _60S), mid2))
    if needs & _BACK_300:
        put(encoder, _RETURN_300S, _return_bps(bars, _then(bars, encoder, place, _300S), mid2))


@njit_leaf
def return_columns(bars: Bars, encoder: Encoder, place: int, mid2: int) -> None:
    """Changes of the mid; `mid2` is twice the mid now, ticks, 0 where there is none."""
    needs = encoder["needs"]
    if needs & _BACK_1:
        put(encoder, _RETURN_1S, _return_bps(bars, _then(bars, encoder, place, _1S), mid2))
    if needs & _BACK_5:
        put(encoder, _RETURN_5S, _return_bps(bars, _then(bars, encoder, place, _5S), mid2))
    if needs & _BACK_30:
        put(encoder, _RETURN_30S, _return_bps(bars, _then(bars, encoder, place, _30S), mid2))
    if needs & _FAR_BACK:
        _far_returns(bars, encoder, place, mid2)


@njit_leaf
def _trade_columns(bars: Bars, encoder: Encoder, place: int, moment: Moment, depth: float) -> None:
    needs = encoder["needs"]
    now = trade_at(bars, moment["trade"])
    bought = now["bought"]
    sold = now["sold"]
    put(encoder, _VPIN, now["vpin"])
    last_second = 0.0
    if needs & _PRINTS_1:
        then = trade_at(bars, _then(bars, encoder, place, _1S)["trade"])
        plus, minus = float(bought - then["bought"]), float(sold - then["sold"])
        last_second = plus + minus
        put(encoder, _TRADE_FLOW_1S, balance(plus, minus))
        put(encoder, _VOLUME_1S, last_second / (last_second + depth) if last_second > 0.0 else 0.0)
    if needs & _PRINTS_5:
        then = trade_at(bars, _then(bars, encoder, place, _5S)["trade"])
        put(encoder, _TRADE_FLOW_5S, balance(float(bought - then["bought"]), float(sold - then["sold"])))
    if needs & _PRINTS_30:
        then = trade_at(bars, _then(bars, encoder, place, _30S)["trade"])
        plus, minus = float(bought - then["bought"]), float(sold - then["sold"])
        put(encoder, _TRADE_FLOW_30S, balance(plus, minus))
        put(encoder, _ACTIVITY, last_second / (last_second + (plus + minus) / 30.0) if plus + minus > 0.0 else 0.0)


@njit_inner
def _order_flow_columns(bars: Bars, encoder: Encoder, place: int, now: Moment, depth: float) -> None:
    if encoder["needs"] & _FLOW_1:
        flow = float(now["flow"] - _then(bars, encoder, place, _1S)["flow"])
        put(encoder, _OFI_1S, flow / (abs(flow) + depth) if flow != 0.0 else 0.0)
    if encoder["needs"] & _FLOW_5:
        flow = float(now["flow"] - _then(bars, encoder, place, _5S)["flow"])
        put(encoder, _OFI_5S, flow / (abs(flow) + depth) if flow != 0.0 else 0.0)


@njit_leaf
def flow_columns(bars: Bars, encoder: Encoder, place: int, now: Moment, depth: float) -> None:
    """What was traded, and the order flow; `depth` are the lots on the best five levels a side."""
    needs = encoder["needs"]
    if needs & _TRADES:
        _trade_columns(bars, encoder, place, now, depth)
    if needs & (_FLOW_1 | _FLOW_5):
        _order_flow_columns(bars, encoder, place, now, depth)


@njit_inner
def _far_bars(bars: Bars, encoder: Encoder, done: int) -> None:
    if encoder["needs"] & _BARS_60:
        put(encoder, _NATR_60, natr_bps(bars, done, 60))
        put(encoder, _ATR_60, atr_ticks(bars, done, 60))
        put(encoder, _VOLATILITY_60S, volatility_bps(bars, done, 60))
    if encoder["needs"] & _BARS_300:
        put(encoder, _NATR_300, natr_bps(bars, done, 300))


@njit_leaf
def bar_columns(bars: Bars, encoder: Encoder, t_ns: int) -> None:
    """Columns of the bars that are complete."""
    needs = encoder["needs"]
    done = bars_done(bars, t_ns)
    if needs & _BARS_10:
        put(encoder, _VOLATILITY_10S, volatility_bps(bars, done, 10))
    if needs & _BARS_14:
        put(encoder, _NATR_14, natr_bps(bars, done, 14))
        put(encoder, _ATR_14, atr_ticks(bars, done, 14))
    if needs & (_BARS_60 | _BARS_300):
        _far_bars(bars, encoder, done)
