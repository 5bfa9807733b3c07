"""Every column that comes with lobgym: name, unit, scale, meaning, and the parts of the encoder that it pays for.

A column's number is its place in `COLUMNS`. New ones go to the end of their table; a meaning that changes raises the
column's version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "BOOK_LEVELS",
    "COLUMNS",
    "COLUMN_NUMBERS",
    "DEFAULT_COLUMNS",
    "EXECUTION_COLUMNS",
    "GRID_COLUMNS",
    "GROUPS",
    "MAKER_COLUMNS",
    "PARTS",
    "ROUTER_COLUMNS",
    "TARGET_COLUMNS",
    "Column",
    "number_of",
    "part",
]

BOOK_LEVELS: Final = 10  # a side, that have columns of their own

# What the encoder does for a row only where one of the layout's columns wants it, each a bit.
PARTS: Final = (
    "quote",  # the best quotes now
    "tops",  # what the best five levels a side hold together
    "each",  # each level on its own, of the best five a side
    "deep",  # of the best BOOK_LEVELS
    "trades",  # sums of prints now
    "back_1",  # the mid one second ago, ...
    "back_5",
    "back_10",
    "back_30",
    "back_60",
    "back_300",
    "prints_1",  # sums of prints one second ago, ...
    "prints_5",
    "prints_30",
    "flow_1",  # order flow since one second ago, ...
    "flow_5",
    "bars_10",  # the last 10 bars of a second, ...
    "bars_14",
    "bars_60",
    "bars_300",
    "orders",  # the lane's own orders
    "pnl",
    "queue",  # where own orders stand
    "clock",
    "funding",
    "task",
    "shortfall",
    "custom",  # registered columns
)


@dataclass(frozen=True)
class Column:
    """One observable quantity.

    Attributes:
        name: its name in a layout.
        unit: of the quantity before scaling.
        scale: s of v / (s + |v|); 0 for a ratio that is bounded by itself.
        own: whether it reads the lane's own view; otherwise it depends on tape and time alone.
        version: raised whenever its meaning changes, so that a layout's hash changes with it.
        about: what it is.
        parts: those of the encoder that it needs.
        lookback_s: how far back it looks, seconds; -1 where nothing bounds it.
        source: digest of a registered column's source; empty for those that come with lobgym.
    """

    name: str
    unit: str
    scale: float
    own: bool
    version: int
    about: str
    parts: tuple[str, ...] = ()
    lookback_s: int = 0
    source: str = ""


def _market(
    name: str, unit: str, scale: float, about: str, parts: str, lookback_s: int = 0, version: int = 1
) -> Column:
    return Column(name, unit, scale, False, version, about, tuple(parts.split()), lookback_s)


def _own(name: str, unit: str, scale: float, about: str, parts: str = "", version: int = 1) -> Column:
    return Column(name, unit, scale, True, version, about, tuple(parts.split()))


_FIRST: Final = (
    _market("two_sided", "1", 0.0, "1 while the local book has a bid and an ask, else 0", "quote"),
    _market("spread", "bps of mid", 1.0, "best ask minus best bid", "quote"),
    _market("book_age", "s", 1.0, "time since the local book last changed", ""),
    _market("imbalance_1", "1", 0.0, "(bid - ask) / (bid + ask) quantity at the bests", "quote tops"),
    _market("imbalance_5", "1", 0.0, "the same over the best five levels a side", "quote tops"),
    _market("pressure_5", "1", 0.0, "the same, level k weighted by 1/k", "quote tops"),
    _market("microprice", "bps of mid", 0.5,
            "best prices weighted by opposite quantities, minus the mid", "quote tops"),
    _market("width_5", "bps of mid", 5.0,
            "distance between the outermost of the best five levels a side", "quote tops"),
    _market("return_1s", "bps", 1.0, "change of the mid over the last second", "quote back_1", 1),
    _market("return_5s", "bps", 2.5, "change of the mid over the last 5 seconds", "quote back_5", 5),
    _market("return_30s", "bps", 5.0, "change of the mid over the last 30 seconds", "quote back_30", 30),
    _market("natr_14", "bps", 1.0, "mean true range of the mid in its last 14 bars of a second", "bars_14", 15),
    _market("trade_flow_1s", "1", 0.0,
            "(bought - sold) / (bought + sold) by takers in the last second", "trades prints_1", 1),
    _market("trade_flow_5s", "1", 0.0, "the same over 5 seconds", "trades prints_5", 5),
    _market("volume_1s", "1", 0.0,
            "V / (V + D): V traded in the last second, D on the best five levels", "trades prints_1 tops", 1),
    _market("activity", "1", 0.0, "V / (V + W/30): W traded in the last 30 seconds", "trades prints_1 prints_30", 30),
    _own("inventory", "1", 0.0, "position / position limit"),
    _own("open_bid_lots", "1", 0.0, "open buying quantity / position limit", "orders"),
    _own("open_ask_lots", "1", 0.0, "open selling quantity / position limit", "orders"),
    _own("bid_distance", "bps of mid", 5.0, "mid minus own best bid; 1 where there is none", "quote orders"),
    _own("ask_distance", "bps of mid", 5.0, "own best ask minus mid; 1 where there is none", "quote orders"),
    _own("pending", "1", 4.0, "own requests without an answer", "orders"),
    _own("episode_pnl", "bps", 50.0, "equity since reset / value of the position limit", "pnl"),
)  # fmt: skip


def _book_levels() -> tuple[Column, ...]:
    """Of each level of each side its distance, and its quantity against the mean of the best five levels a side."""
    made: list[Column] = []
    for k in range(1, BOOK_LEVELS + 1):
        deep = "" if k <= 5 else " deep"
        for side in ("bid", "ask"):
            gap = f"distance of the {side}s' level {k} from the mid; 1 where there is none"
            size = f"q / (q + m): q lots on the {side}s' level {k}, m the mean of the best five levels a side"
            made.append(_market(f"{side}_gap_{k}", "bps of mid", 2.0, gap, f"quote tops each{deep}"))
            made.append(_market(f"{side}_size_{k}", "1", 0.0, size, f"quote tops each{deep}"))
    return tuple(made)


_MORE: Final = (
    _market("return_10s", "bps", 3.0, "change of the mid over the last 10 seconds", "quote back_10", 10),
    _market("return_60s", "bps", 7.0, "change of the mid over the last 60 seconds", "quote back_60", 60),
    _market("return_300s", "bps", 15.0, "change of the mid over the last 300 seconds", "quote back_300", 300),
    _market("volatility_10s", "bps", 1.0,
            "root mean square of the mid's changes over its last 10 bars of a second", "bars_10", 11),
    _market("volatility_60s", "bps", 1.0, "the same over 60 bars", "bars_60", 61),
    _market("natr_60", "bps", 1.0, "mean true range of the mid in its last 60 bars of a second", "bars_60", 61),
    _market("natr_300", "bps", 1.0, "the same in 300 bars", "bars_300", 301),
    _market("atr_14", "ticks", 50.0, "mean true range of the mid in its last 14 bars of a second", "bars_14", 15),
    _market("atr_60", "ticks", 50.0, "the same in 60 bars", "bars_60", 61),
    _market("trade_flow_30s", "1", 0.0,
            "(bought - sold) / (bought + sold) by takers in 30 seconds", "trades prints_30", 30),
    _market("vpin", "1", 0.0,
            "sum of abs(bought - sold) / sum of volume, of the last 50 full volume buckets", "trades", -1),
    _market("ofi_1s", "1", 0.0,
            "O / (abs(O) + D): O order flow at the bests in the last second, D on the best five levels",
            "tops flow_1", 1),
    _market("ofi_5s", "1", 0.0, "the same over 5 seconds", "tops flow_5", 5),
    _market("hour_left", "1", 0.0, "share of the hour (UTC) that is left", "clock"),
    _market("hour_sin", "1", 0.0, "a wave of one hour, made of parabolas: 0 and rising at the full hour", "clock"),
    _market("hour_cos", "1", 0.0, "the same, a quarter of an hour ahead", "clock"),
    _market("day_sin", "1", 0.0, "a wave of one day: 0 and rising at midnight UTC", "clock"),
    _market("day_cos", "1", 0.0, "the same, 6 hours ahead", "clock"),
    _market("week_sin", "1", 0.0, "a wave of one week: 0 and rising at midnight UTC before Monday", "clock"),
    _market("week_cos", "1", 0.0, "the same, a quarter of a week ahead", "clock"),
    _market("funding_rate", "bps", 1.0, "the last funding rate that the feed announced; 0 before any", "clock funding"),
    _market("funding_left", "8 h", 0.0, "time to the funding that it announced, at most 1; 0 where that is past",
            "clock funding"),
    _own("bid_queue", "1", 0.0,
         "share of the quantity at the own best bid that stands before it, as the lane estimates; 1 without one",
         "queue"),
    _own("ask_queue", "1", 0.0, "the same of the own best ask", "queue"),
    _own("entry_age", "s", 30.0, "time since the position was opened or changed sides; 0 where there is none"),
    _own("fill_age", "s", 30.0, "time since the last fill; 1 before the first"),
    _own("task_side", "1", 0.0, "1: the task buys, -1: it sells; this and what follows are 0 without a task", "task"),
    _own("task_left", "1", 0.0, "share of the task's lots that is left", "task"),
    _own("task_time_left", "1", 0.0, "share of the task's time that is left", "task"),
    _own("task_pace", "1", 0.0, "share of the lots that is done minus share of the time that is over", "task"),
    _own("task_shortfall", "bps", 5.0, "cost against the mid at the task's start, what is left counted at the mid",
         "task shortfall"),
)  # fmt: skip

COLUMNS: Final = (*_FIRST, *_book_levels(), *_MORE)

COLUMN_NUMBERS: Final = {column.name: number for number, column in enumerate(COLUMNS)}


def number_of(name: str) -> int:
    """The number of a column, for the kernels that write it."""
    return COLUMN_NUMBERS[name]


def part(*names: str) -> int:
    """The bits of parts of the encoder."""
    return sum(1 << PARTS.index(name) for name in set(names))


# -- names for several columns -----------------------------------------------------------------------------------------


def _book(levels: int) -> tuple[str, ...]:
    return tuple(
        f"{side}_{what}_{k}" for k in range(1, levels + 1) for side in ("bid", "ask") for what in ("gap", "size")
    )


GROUPS: Final = {f"book_{levels}": _book(levels) for levels in range(1, BOOK_LEVELS + 1)} | {
    "time": ("hour_left", "hour_sin", "hour_cos", "day_sin", "day_cos", "week_sin", "week_cos"),
    "funding": ("funding_rate", "funding_left"),
    "queue": ("bid_queue", "ask_queue"),
    "task": ("task_side", "task_left", "task_time_left", "task_pace", "task_shortfall"),
}

# -- what the environments observe by default --------------------------------------------------------------------------

GRID_COLUMNS: Final = (
    "spread",
    "book_age",
    "imbalance_1",
    "imbalance_5",
    "pressure_5",
    "microprice",
    "return_1s",
    "return_5s",
    "return_30s",
    "natr_14",
    "trade_flow_1s",
    "trade_flow_5s",
    "volume_1s",
    "activity",
    "inventory",
    "open_bid_lots",
    "open_ask_lots",
    "bid_distance",
    "ask_distance",
    "pending",
)
TARGET_COLUMNS: Final = (
    "spread",
    "imbalance_1",
    "imbalance_5",
    "pressure_5",
    "microprice",
    "return_1s",
    "return_5s",
    "return_30s",
    "natr_14",
    "trade_flow_1s",
    "trade_flow_5s",
    "volume_1s",
    "activity",
    "inventory",
    "pending",
)
MAKER_COLUMNS: Final = (
    "spread",
    "imbalance_1",
    "imbalance_5",
    "pressure_5",
    "microprice",
    "return_1s",
    "return_5s",
    "return_30s",
    "volatility_10s",
    "volatility_60s",
    "trade_flow_1s",
    "trade_flow_5s",
    "volume_1s",
    "activity",
    "inventory",
    "open_bid_lots",
    "open_ask_lots",
    "bid_distance",
    "ask_distance",
    "pending",
)
EXECUTION_COLUMNS: Final = (
    "spread",
    "imbalance_1",
    "imbalance_5",
    "microprice",
    "return_1s",
    "return_5s",
    "return_30s",
    "volatility_60s",
    "trade_flow_1s",
    "trade_flow_5s",
    "volume_1s",
    "activity",
    "bid_distance",
    "ask_distance",
    "pending",
    "task_side",
    "task_left",
    "task_time_left",
    "task_pace",
    "task_shortfall",
)
ROUTER_COLUMNS: Final = (
    "spread",
    "imbalance_5",
    "return_5s",
    "return_30s",
    "return_60s",
    "return_300s",
    "volatility_10s",
    "volatility_60s",
    "natr_60",
    "natr_300",
    "trade_flow_30s",
    "activity",
    "vpin",
    "inventory",
    "episode_pnl",
)
DEFAULT_COLUMNS: Final = {
    "grid": GRID_COLUMNS,
    "target": TARGET_COLUMNS,
    "maker": MAKER_COLUMNS,
    "execution": EXECUTION_COLUMNS,
    "router": ROUTER_COLUMNS,
}
