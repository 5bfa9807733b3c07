"""`Totals`: what a run comes to, in integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Totals"]


@dataclass
class Totals:
    """Sums over a run, in integers: money in money units, quantities in lots."""

    decisions: int = 0
    fills: int = 0
    denied: int = 0  # intents that the risk check refused
    guarded: int = 0  # decisions in which the guard took the safe action
    equity_first: int = 0
    equity_last: int = 0
    equity_high: int = 0
    equity_low: int = 0
    drawdown_max: int = 0
    position_last: int = 0
    position_max: int = 0  # largest |position| after an interval
    fees: int = 0
    fees_abs: int = 0  # sum of |fee|
    turnover: int = 0  # sum of |cash|

    @property
    def pnl(self) -> int:
        """Change of equity over the run, money units."""
        return self.equity_last - self.equity_first

    def begin(self, equity: int) -> None:
        """Take the equity before the first decision."""
        self.equity_first = self.equity_last = self.equity_high = self.equity_low = equity

    def add(self, outcome: dict[str, Any]) -> None:
        """Take one outcome record."""
        account, fills = outcome["account"], outcome["fills"]
        equity, position = account["equity"], account["position"]
        self.decisions += 1
        self.fills += len(fills)
        for fill in fills:
            self.fees += fill["fee"]
            self.fees_abs += abs(fill["fee"])
            self.turnover += abs(fill["cash"])
        self.equity_last = equity
        self.equity_high = max(self.equity_high, equity)
        self.equity_low = min(self.equity_low, equity)
        self.drawdown_max = max(self.drawdown_max, self.equity_high - equity)
        self.position_last = position
        self.position_max = max(self.position_max, abs(position))
