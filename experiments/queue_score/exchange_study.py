"""The study on an exchange: its orders as probes, under three feeds of one and the same market.

Every change of a level at once; depth in batches with prints at once; and that with best quotes besides, which is what
the exchange's own feed is like.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from lobgym.experiments.queue_score.exchange_fate import read_exchange_orders
from lobgym.experiments.queue_score.exchange_run import BATCH_NS, Run, run_exchange
from lobgym.experiments.queue_score.hidden import HiddenMarkets
from lobgym.experiments.queue_score.play import MODELS, Model, Played, play
from lobgym.experiments.queue_score.probes import Probe, ProbeError
from lobgym.experiments.queue_score.score import score
from lobgym.sim import records as rec
from lobgym.sim.exchange import Flow
from lobgym.sim.tape import Tape

__all__ = [
    "AT_ONCE",
    "BATCHED",
    "FEEDS",
    "QUOTED",
    "ExchangeStudy",
    "levels_and_prints",
    "study_exchange",
    "study_runs",
    "verify_places",
]

AT_ONCE: Final = "every change at once"
BATCHED: Final = "depth every 50 ms"
QUOTED: Final = "depth every 50 ms, best quotes at once"
FEEDS: Final = (AT_ONCE, BATCHED, QUOTED)
PATIENCE_NS: Final = 10_000_000_000  # after its original was filled; far longer than an order lives at the touch here
WATCH_NS: Final = 65_000_000_000  # what lives longer is left standing
BLOCK_NS: Final = 10_000_000_000
MINE: Final = "of the member"
THEIRS: Final = "of the flow"


class ExchangeStudy(NamedTuple):
    """The probes, what became of them under each feed, and the market's facts."""

    probes: tuple[Probe, ...]
    mine: Any  # bool[probes]: the member's
    played: dict[str, Played]
    facts: dict[str, Any]

    def scores(self, resamples: int) -> dict[str, Any]:
        """`score` for each feed, with regimes for the member's probes and the flow's orders."""
        groups = {MINE: self.mine, THEIRS: ~self.mine}
        return {
            feed: score(self.probes, played, BLOCK_NS, resamples, groups=groups) for feed, played in self.played.items()
        }


def levels_and_prints(tape: Tape) -> Tape:
    """A tape's levels and prints as they happen: what else it says is left out, and nothing comes late.

    What several messages of one nanosecond say of levels becomes one, after the prints of that moment.
    """
    prints = tape.events[tape.events["kind"] == rec.TRADE]
    levels = tape.events[tape.events["kind"] == rec.DEPTH]
    order = np.lexsort((levels["price_ticks"] * levels["side"], levels["exch_ns"]))
    here = levels[order]
    again = here["exch_ns"][1:] == here["exch_ns"][:-1]
    for name in ("price_ticks", "side"):
        again = again & (here[name][1:] == here[name][:-1])
    levels = levels[np.sort(order[np.append(~again, True)])]  # the last word of each moment
    levels["flags"] = np.where(np.append(np.diff(levels["exch_ns"]) > 0, True), rec.LAST, 0)
    events = np.concatenate([prints, levels])
    events = events[np.argsort(events["exch_ns"], kind="stable")]
    events["local_ns"] = events["exch_ns"]
    return Tape(events, tape.instrument)


def verify_places(run: Run, probes: Sequence[Probe]) -> int:
    """Compare what the exchange said of the member's orders with what the tape of orders says; how many places.

    Raises `ProbeError` where the two differ.
    """
    compared = 0
    for probe in probes:
        told = dict(run.places.get(probe.id, ()))
        read = {0: probe.front, **dict(probe.fronts)}
        both = told.keys() & read.keys()
        if any(told[age] != read[age] for age in both):
            raise ProbeError(f"order {probe.id}: the exchange puts {told} lots before it, its tape of orders {read}")
        compared += len(both)
    return compared


def study_exchange(
    flow: Flow,
    seed: int,
    span_ns: int,
    every: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ExchangeStudy:
    """Run an exchange twice and play all of the member's orders, and every n-th of the flow's, under each feed.

    Raises `ProbeError` where the exchange contradicts itself.
    """
    at_once = run_exchange(flow, seed, span_ns)
    return study_runs(at_once, run_exchange(flow, seed, span_ns, depth_every_ns=BATCH_NS), every, progress=progress)


def study_runs(
    at_once: Run,
    batched: Run,
    every: int,
    models: Sequence[Model] = MODELS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ExchangeStudy:
    """Play the orders of two runs that differ in nothing but how depth was published."""
    if batched.orders.digest != at_once.orders.digest:
        raise ProbeError("the orders of two runs differ that differ only in how depth is published")
    fates = read_exchange_orders(
        at_once.orders,
        at_once.tape,
        at_once.begin_ns,
        at_once.end_ns,
        lambda number: number % every == 0 or number in at_once.places,
        WATCH_NS,
    )
    late = levels_and_prints(batched.tape)
    markets = {
        AT_ONCE: HiddenMarkets(levels_and_prints(at_once.tape)),
        BATCHED: HiddenMarkets(late, batched=True),
        QUOTED: HiddenMarkets(late, batched=True, quotes=fates.quotes),
    }
    facts = {
        "tapes": {AT_ONCE: at_once.tape.digest, BATCHED: batched.tape.digest},
        "places_told_twice": verify_places(at_once, fates.probes),
        **fates.facts,
    }
    played = {
        feed: play(markets[feed], fates.probes, models, PATIENCE_NS, _after(progress, k))
        for k, feed in enumerate(FEEDS)
    }
    mine = np.array([one.id in at_once.places for one in fates.probes], dtype=bool)
    return ExchangeStudy(fates.probes, mine, played, facts)


def _after(progress: Callable[[int, int], None], k: int) -> Callable[[int, int], None]:
    return lambda done, total: progress(k * total + done, len(FEEDS) * total)
