"""What an agent of the arena observes: named columns of its feed, its own orders and its own task.

All agents have the same columns, so that one network can play every role. Each is bounded by [-1, 1] and never NaN.
A ratio is as it is, any other quantity v becomes v / (s + |v|), s being its scale. Market columns are those of the
picture of the best ten levels that the agent's own feed shows at the time (`Exchange.ladder(member=...)`), and 0
while it is not two-sided; they have no trade flow, because that feed shows none. Own columns are what the agent knows:
a fill counts once its answer has travelled back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["ARENA_COLUMNS", "BACK", "LEVELS", "NUMBERS", "ArenaColumn"]

LEVELS: Final = 5  # a side, of the columns that end in _5
BACK: Final = (1, 5, 20, 60)  # steps that the return columns look back
VOLATILITY_STEPS: Final = 20


@dataclass(frozen=True)
class ArenaColumn:
    """One observable quantity: its name, its unit before scaling, its scale (0 for a ratio), and what it is."""

    name: str
    unit: str
    scale: float
    about: str


_BPS: Final = "bps of mid"
ARENA_COLUMNS: Final = (
    ArenaColumn("two_sided", "1", 0.0, "1 while the feed shows a bid and an ask, else 0"),
    ArenaColumn("spread", _BPS, 0.2, "best ask minus best bid"),
    ArenaColumn("book_age", "s", 0.2, "time since the feed last changed"),
    ArenaColumn("imbalance_1", "1", 0.0, "(bid - ask) / (bid + ask) quantity at the bests"),
    ArenaColumn("imbalance_5", "1", 0.0, f"the same over the best {LEVELS} levels a side"),
    ArenaColumn("pressure_5", "1", 0.0, "the same, level k weighted by 1/k"),
    ArenaColumn("microprice", _BPS, 0.1, "best prices weighted by opposite quantities, minus the mid"),
    ArenaColumn("width_5", _BPS, 1.0, f"distance between the outermost of the best {LEVELS} levels a side"),
    *(
        ArenaColumn(f"return_{k}", "bps", scale, f"change of the mid over the last {k} steps, at most the episode's")
        for k, scale in zip(BACK, (1.0, 2.0, 4.0, 8.0), strict=True)
    ),
    ArenaColumn("volatility", "bps", 1.0, f"mean size of the mid's change a step, over the last {VOLATILITY_STEPS}"),
    ArenaColumn("inventory", "1", 0.0, "own position / position limit; at a bound beyond it"),
    ArenaColumn("open_bid_lots", "1", 0.0, "open buying quantity / position limit; at a bound beyond it"),
    ArenaColumn("open_ask_lots", "1", 0.0, "open selling quantity / position limit; at a bound beyond it"),
    ArenaColumn("bid_distance", _BPS, 2.0, "mid minus own best bid; 1 where there is none"),
    ArenaColumn("ask_distance", _BPS, 2.0, "own best ask minus mid; 1 where there is none"),
    ArenaColumn("pending", "1", 4.0, "own requests without an answer"),
    ArenaColumn("episode_pnl", "bps", 10.0, "equity since the reset / value of the position limit"),
    ArenaColumn("task_side", "1", 0.0, "1 where the parent order buys, -1 where it sells; 0 without one"),
    ArenaColumn("task_left", "1", 0.0, "unfilled part of the parent order; 0 without one"),
    ArenaColumn("task_time_left", "1", 0.0, "part of its time that is left; 0 without one"),
    ArenaColumn("task_pace", "1", 0.0, "filled part minus the part of its time that has passed; 0 without one"),
    ArenaColumn("task_shortfall", "bps", 5.0, "implementation shortfall / value at arrival; 0 without one"),
)
NUMBERS: Final = {column.name: number for number, column in enumerate(ARENA_COLUMNS)}
