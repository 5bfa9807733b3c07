"""Every column once more, in plain Python, read off its description: the oracle of the encoder.

Nothing here looks anything up that lobgym has compiled beyond the rows of the book; each question is answered by
walking them from the beginning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lobgym.sim import records as rec
from lobgym.sim.book import NO_ASK, NO_BID, RESET, ROW_LEVEL, ROW_PRINT
from lobgym.sim.market import Market
from lobgym.sim.observation import COLUMNS
from tests.sim.columns import Columns, columns_of

S = 10**9
FAR = 1e18  # of what is not there: squeezed, it is 1


def squeezed(values: dict[str, float]) -> dict[str, float]:
    scales = {column.name: column.scale for column in COLUMNS}
    return {name: v / (scales[name] + abs(v)) if scales[name] else min(max(v, -1), 1) for name, v in values.items()}


@dataclass
class Reference:
    """A market's local book, row by row."""

    market: Market

    def __post_init__(self) -> None:
        self.book: Columns = columns_of(self.market.local)
        self.flows = self._flows()
        self.vpins = self._vpins()

    def rows_by(self, ns: int) -> int:
        return int(np.searchsorted(self.book.ns, ns, side="right"))

    def mid(self, rows: int) -> float:
        """0 where the book is not two-sided."""
        bid, ask = (int(side[rows - 1]) for side in (self.book.bid, self.book.ask))
        return (bid + ask) / 2 if rows and bid != NO_BID and ask != NO_ASK else 0.0

    def sides(self, rows: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(tick, lots) of both sides, best first."""
        shown: dict[tuple[int, int], int] = {}
        for row in np.flatnonzero(self.book.kind[:rows] == ROW_LEVEL).tolist():
            shown[int(self.book.side[row]), int(self.book.tick[row])] = int(self.book.qty[row])
        there = [(side, tick, lots) for (side, tick), lots in shown.items() if lots > 0]
        bids = sorted(((tick, lots) for side, tick, lots in there if side == rec.BUY), reverse=True)
        return bids, sorted((tick, lots) for side, tick, lots in there if side == rec.SELL)

    def traded(self, first: int, end: int) -> tuple[int, int]:
        """Lots bought and sold by takers in rows [first, end)."""
        rows = slice(first, end)
        prints = self.book.kind[rows] == ROW_PRINT
        sides = (rec.BUY, rec.SELL)
        bought, sold = (int(self.book.qty[rows][prints & (self.book.side[rows] == side)].sum()) for side in sides)
        return bought, sold

    # -- along the tape ------------------------------------------------------------------------------------------------

    def _flows(self) -> list[tuple[int, int]]:
        """(stamp, order flow of that stamp) at the bests, by comparing the states after two stamps."""
        made, shown = [], {}
        before = (NO_BID, 0, NO_ASK, 0)
        book = self.book
        for row in range(len(book.ns)):
            if book.kind[row] == ROW_LEVEL:
                shown[int(book.side[row]), int(book.tick[row])] = int(book.qty[row])
            if row + 1 < len(book.ns) and book.ns[row + 1] == book.ns[row]:
                continue
            bid, ask = int(book.bid[row]), int(book.ask[row])
            now = (bid, shown.get((rec.BUY, bid), 0), ask, shown.get((rec.SELL, ask), 0))
            demand = now[1] - before[1] if now[0] == before[0] else (now[1] if now[0] > before[0] else -before[1])
            supply = now[3] - before[3] if now[2] == before[2] else (now[3] if now[2] < before[2] else -before[3])
            made.append((int(book.ns[row]), demand - supply))
            before = now
        return made

    def _vpins(self) -> list[tuple[int, float]]:
        """(stamp, VPIN) after each print."""
        made: list[tuple[int, float]] = []
        prints: list[tuple[int, int]] = []  # stamp, lots
        full: list[tuple[int, int]] = []  # |bought - sold|, lots of the full buckets
        bucket: list[int] = []  # signed parts
        size = 1
        for row in np.flatnonzero(self.book.kind == ROW_PRINT).tolist():
            ns, side, left = int(self.book.ns[row]), int(self.book.side[row]), int(self.book.qty[row])
            while left > 0:
                part = min(left, size - sum(map(abs, bucket)))
                bucket.append(side * part)
                prints.append((ns, part))
                left -= part
                if sum(map(abs, bucket)) == size:
                    full.append((abs(sum(bucket)), size))
                    bucket = []
                    size = max(1, sum(lots for stamp, lots in prints if stamp >= ns - 300 * S) // 50)
            last = full[-50:]
            made.append((ns, sum(one for one, _ in last) / sum(lots for _, lots in last) if last else 0.0))
        return made

    def bars(self, t_ns: int) -> tuple[list[float], list[float]]:
        """True ranges and closes of the whole seconds of the local clock before `t_ns`; 0 before the first mid."""
        book = self.book
        last = np.append(book.ns[1:] != book.ns[:-1], True) & (book.bid != NO_BID) & (book.ask != NO_ASK)
        mids, seconds = (book.bid + book.ask) / 2, book.ns // S
        ranges, closes = [], []
        close = 0.0
        for second in range(int(seconds[0]), min(t_ns // S, int(seconds[-1]) + 1)):
            of_bar = mids[last & (seconds == second)].tolist()
            points = of_bar + ([close] if close else [])
            ranges.append(max(points) - min(points) if points else 0.0)
            close = of_bar[-1] if of_bar else close
            closes.append(close)
        return ranges, closes

    # -- columns -------------------------------------------------------------------------------------------------------

    def market_columns(self, t_ns: int, delay_ns: int = 0) -> dict[str, float]:
        """Those of tape and time, squeezed; the feed is late by `delay_ns`."""
        c = self.rows_by(t_ns - delay_ns)
        out = self._clock(t_ns) | self._funding(t_ns, delay_ns)
        mid = self.mid(c)
        out["two_sided"] = float(mid > 0)
        out["book_age"] = (t_ns - int(self.book.ns[c - 1])) / 1e9 if c else 0.0
        bids, asks = self.sides(c)
        depth = sum(lots for _, lots in bids[:5] + asks[:5])
        out |= self._of_levels(bids, asks, mid) if mid else dict.fromkeys(_BOOK, 0.0)
        volume = {}
        for seconds in (1, 5, 10, 30, 60, 300):
            back = min(c, self.rows_by(t_ns - seconds * S))
            then = self.mid(back)
            out[f"return_{seconds}s"] = (mid - then) / then * 1e4 if then and mid else 0.0
            bought, sold = self.traded(back, c)
            volume[seconds] = bought + sold
            if seconds in (1, 5, 30):
                out[f"trade_flow_{seconds}s"] = (bought - sold) / (bought + sold) if bought + sold else 0.0
            if seconds in (1, 5):
                first = min(t_ns - seconds * S, int(self.book.ns[c - 1]) if c else 0)
                flow = sum(one for ns, one in self.flows if first < ns <= (int(self.book.ns[c - 1]) if c else 0))
                out[f"ofi_{seconds}s"] = flow / (abs(flow) + depth) if flow else 0.0
        out["volume_1s"] = volume[1] / (volume[1] + depth) if volume[1] else 0.0
        out["activity"] = volume[1] / (volume[1] + volume[30] / 30) if volume[30] else 0.0
        seen = [one for ns, one in self.vpins if c and ns <= self.book.ns[c - 1]]
        out["vpin"] = seen[-1] if seen else 0.0
        return squeezed(out | self._of_bars(t_ns - delay_ns))

    def _of_levels(self, bids: list[Any], asks: list[Any], mid: float) -> dict[str, float]:
        (bid, bq), (ask, aq) = bids[0], asks[0]
        near = [sum(lots / k for k, (_, lots) in enumerate(side[:5], start=1)) for side in (bids, asks)]
        lots5 = [sum(lots for _, lots in side[:5]) for side in (bids, asks)]
        mean = sum(lots5) / (len(bids[:5]) + len(asks[:5]))
        out = {
            "spread": (ask - bid) / mid * 1e4,
            "imbalance_1": (bq - aq) / (bq + aq),
            "microprice": ((bid * aq + ask * bq) / (bq + aq) - mid) / mid * 1e4,
            "imbalance_5": (lots5[0] - lots5[1]) / sum(lots5),
            "pressure_5": (near[0] - near[1]) / sum(near),
            "width_5": (asks[:5][-1][0] - bids[:5][-1][0]) / mid * 1e4,
        }
        for name, side in (("bid", bids), ("ask", asks)):
            for k in range(1, 11):
                tick, lots = side[k - 1] if len(side) >= k else (None, 0)
                out[f"{name}_gap_{k}"] = FAR if tick is None else abs(tick - mid) / mid * 1e4
                out[f"{name}_size_{k}"] = lots / (lots + mean)
        return out

    def _of_bars(self, t_ns: int) -> dict[str, float]:
        ranges, closes = self.bars(t_ns)
        first = next((k for k, close in enumerate(closes) if close), len(closes))
        out = {}
        for count in (14, 60, 300):
            window = ranges[max(first, len(ranges) - count) :]
            mean = float(np.mean(window)) if window else 0.0
            out[f"natr_{count}"] = mean / closes[-1] * 1e4 if window else 0.0
            if count < 300:
                out[f"atr_{count}"] = mean
        for count in (10, 60):
            window = range(max(first, len(closes) - count), len(closes))
            # Counted in whole 1e-7 of the price.
            changes = [
                int(abs(closes[k] - closes[k - 1]) * 2) * 10**7 // int(closes[k - 1] * 2) if k > first else 0
                for k in window
            ]
            mean_square = sum(one * one for one in changes) / len(changes) if changes else 0.0
            out[f"volatility_{count}s"] = math.sqrt(mean_square) / 10**7 * 1e4
        return out

    def _clock(self, t_ns: int) -> dict[str, float]:
        out = {"hour_left": 1 - t_ns % (3600 * S) / (3600 * S)}
        for name, period, begins in (("hour", 3600 * S, 0), ("day", 86400 * S, 0), ("week", 604800 * S, 345600 * S)):
            for wave, ahead in (("sin", 0), ("cos", period // 4)):
                x = (t_ns - begins + ahead) % period / period
                out[f"{name}_{wave}"] = 16 * x * (0.5 - x) if x < 0.5 else -16 * (x - 0.5) * (1 - x)
        return out

    def _funding(self, t_ns: int, delay_ns: int) -> dict[str, float]:
        events = self.market.tape.events
        known = [row for row in events[events["kind"] == rec.FUNDING] if row["local_ns"] <= t_ns - delay_ns]
        if not known:
            return {"funding_rate": 0.0, "funding_left": 0.0}
        left = (int(known[-1]["seq"]) * 10**6 - t_ns) / (8 * 3600 * S)
        return {"funding_rate": int(known[-1]["qty_lots"]) / 1e12 * 1e4, "funding_left": max(left, 0.0)}

    def queue(self, t_ns: int, side: int, tick: int, arrive_ns: int) -> float:
        """Share of what is displayed at a price that stands before an order which came to rest there."""
        book = self.book
        here = book.tick == tick
        start = self.rows_by(arrive_ns)
        levels = np.flatnonzero(here[:start] & (book.kind[:start] == ROW_LEVEL) & (book.side[:start] == side))
        shown = front = int(book.qty[levels[-1]]) if len(levels) else 0
        for row in range(start, self.rows_by(t_ns)):
            if here[row] and book.kind[row] == ROW_PRINT and book.side[row] == -side:
                front = max(0, front - int(book.qty[row]))
            elif here[row] and book.kind[row] == ROW_LEVEL and book.side[row] == side:
                shown = int(book.qty[row])
                front = front if book.flags[row] & RESET else min(front, shown)
        if front == 0:
            return 0.0
        return min(1.0, front / shown) if shown else 1.0


_BOOK = ["spread", "imbalance_1", "microprice", "imbalance_5", "pressure_5", "width_5"] + [
    f"{side}_{what}_{k}" for side in ("bid", "ask") for what in ("gap", "size") for k in range(1, 11)
]
