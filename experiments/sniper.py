"""What stale quotes are worth: `python -m lobgym.experiments.sniper TAPE ...` prints the table of docs/market.md.

Depth comes in batches, so a print often lies beyond the best quote that depth still shows. The sniper waits for just
that: at once it sends an order that takes at the stale quote or better and expires otherwise, and its fills are held
against the mid a little later. Where the market still sells at the stale quote, this earns without any forecast, and
every learner finds it first; no real venue would have filled it. It runs twice, on the market with
`print_implied_depth` and on the market without.

The sniper is faster than any trader on the tape could be: it reacts to the exchange's stamp of the print, not to its
receipt. Each attempt has a lane of its own, so that none takes the depth of another.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.book import NO_ASK, NO_BID
from lobgym.sim.errors import LobgymError
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, IOC
from lobgym.sim.session import Session
from lobgym.sim.tape import Tape, open_tape

__all__ = ["Attempts", "SniperResult", "find_attempts", "main", "snipe", "table"]

LATENCY_NS: Final = 1_000_000
HORIZON_NS: Final = 200_000_000
_LANES_MAX: Final = 4096
_FILLS_PER_LANE: Final = 4


@dataclass(frozen=True)
class Attempts:
    """When to snipe what, one entry an attempt: the print's stamp, the aggressor's side, the stale quote."""

    t_ns: NDArray[np.int64]
    side: NDArray[np.int8]
    tick: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.t_ns)


@dataclass(frozen=True)
class SniperResult:
    """Outcome of all attempts on one market.

    Attributes:
        attempts: prints beyond the shown best.
        fills: attempts that filled.
        edge_bps: mean over those of (mid after HORIZON_NS - fill price), in the trade's direction, in bps; NaN
            without fills.
        stderr_bps: its standard error, attempts taken as independent.
        total_bps: sum over all attempts, an attempt without fill counting 0.
    """

    attempts: int
    fills: int
    edge_bps: float
    stderr_bps: float
    total_bps: float


def find_attempts(
    market: Market, latency_ns: int = LATENCY_NS, horizon_ns: int = HORIZON_NS, each_print: bool = False
) -> Attempts:
    """Prints beyond the best that depth shows at that moment.

    The last print of a stamp and side stands for all of them, unless `each_print` counts them one by one.

    `market` is compiled without `print_implied_depth`, so that its book is what depth shows.
    """
    book = market.exch
    rows, side, tick = book.prints["row"], book.prints["side"].astype(np.int8), book.prints["tick"]
    bid, ask = _best_after(book.bids, rows), _best_after(book.asks, rows)
    beyond = np.where(side == BUY, tick > ask, tick < bid) & (bid != NO_BID) & (ask != NO_ASK)
    ns = book.ns[rows]
    fits = (ns >= market.start_ns) & (ns + max(latency_ns, horizon_ns) <= market.end_ns)
    chosen = np.flatnonzero(beyond & fits)
    key = np.stack([ns[chosen], side[chosen].astype(np.int64)])
    kept = np.ones(len(chosen), bool)
    if not each_print:
        kept[:-1] = (key[:, 1:] != key[:, :-1]).any(axis=0)
    chosen = chosen[kept]
    quote = np.where(side == BUY, ask, bid)[chosen]
    return Attempts(ns[chosen], side[chosen], quote)


def snipe(
    market: Market, reference: Market, attempts: Attempts, latency_ns: int = LATENCY_NS, horizon_ns: int = HORIZON_NS
) -> SniperResult:
    """Run every attempt on `market`, for one lot, and value it at the exchange's mid in `reference`."""
    params = SimParams(
        entry_ns=latency_ns, print_implied_depth=market.print_implied_depth,
        max_orders=1, max_requests=2, max_responses=4, max_spent=4,
    )  # fmt: skip
    edges = []
    for begin in range(0, len(attempts), _LANES_MAX):
        part = slice(begin, begin + _LANES_MAX)
        t_ns = attempts.t_ns[part]
        session = Session(market, params, len(t_ns), fill_log=_FILLS_PER_LANE * len(t_ns))
        session.reset(t_ns)
        for lane in range(len(t_ns)):
            session.submit(lane, int(attempts.side[begin + lane]), int(attempts.tick[begin + lane]), 1, IOC)
        session.advance(t_ns + latency_ns)
        fills = session.drain_fills()
        mid2 = mids2(reference, t_ns[fills["lane"]] + horizon_ns)
        known = mid2 > 0
        gain = fills["side"] * (mid2 / 2.0 - fills["tick"]) / fills["tick"] * 1e4
        edges.append(gain[known])
    edge = np.concatenate(edges) if edges else np.empty(0)
    return SniperResult(
        len(attempts), len(edge), float(edge.mean()) if len(edge) else float("nan"),
        float(edge.std(ddof=1) / np.sqrt(len(edge))) if len(edge) > 1 else float("nan"), float(edge.sum()),
    )  # fmt: skip


def _best_after(changes: NDArray[np.void], rows: NDArray[Any]) -> NDArray[np.int64]:
    """The best in ticks after each row."""
    ticks: NDArray[np.int64] = changes["tick"][np.searchsorted(changes["row"], rows, side="right") - 1]
    return ticks


def mids2(market: Market, t_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64: twice the exchange's mid in ticks at each time, 0 where the book is not two-sided."""
    row = np.searchsorted(market.exch.ns, t_ns, side="right") - 1
    bid, ask = _best_after(market.exch.bids, row), _best_after(market.exch.asks, row)
    quoted = (bid != NO_BID) & (ask != NO_ASK)
    return np.where(quoted, bid + np.where(quoted, ask, 0), 0)


def table(tapes: list[Tape], each_print: bool = False) -> list[str]:
    """Lines of a Markdown table: one tape a line, the market without and with `print_implied_depth`."""
    lines = [
        "| tape | attempts | fills without | edge, bps | fills with | edge, bps | sum of edges with / without |",
        "|---|---|---|---|---|---|---|",
    ]
    for tape in tapes:
        shown, effective = (Market.compile(tape, implied) for implied in (False, True))
        attempts = find_attempts(shown, each_print=each_print)
        without, with_ = (snipe(market, effective, attempts) for market in (shown, effective))
        share = with_.total_bps / without.total_bps if without.total_bps else float("nan")
        name = f"{tape.instrument.venue} {tape.instrument.symbol}, {tape.digest[:8]}"
        lines.append(
            f"| {name} | {len(attempts):,} | {without.fills:,} | {_figure(without)} | {with_.fills:,} | "
            f"{_figure(with_)} | {share:.2%} |"
        )
    return lines


def _figure(result: SniperResult) -> str:
    if result.fills == 0:
        return "-"
    error = "" if result.fills < 2 else f" ± {result.stderr_bps:.2f}"
    return f"{result.edge_bps:+.2f}{error}"


def main(arguments: list[str]) -> int:
    """Print the table for the tapes named, `--each-print` before them or not; exit status."""
    each_print = arguments[:1] == ["--each-print"]
    names = arguments[each_print:] or ["synth"]
    try:
        for line in table([open_tape(name) for name in names], each_print):
            print(line)
    except LobgymError as error:
        print(f"sniper: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
