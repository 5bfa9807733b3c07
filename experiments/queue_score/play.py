"""Probes played: each as an order of ours in the market without its original, under every queue model at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from lobgym.experiments.queue_score.hidden import HiddenMarkets
from lobgym.experiments.queue_score.probes import AGES_NS, FILLED, Probe
from lobgym.sim.params import SimParams
from lobgym.sim.queue import FRONT_BITS, QUEUE_MODELS
from lobgym.sim.records import ACK, FILL, GTX, LIVE
from lobgym.sim.session import Session

__all__ = ["DEFAULT", "MODELS", "PATIENCE_NS", "Model", "Played", "play"]


class Model(NamedTuple):
    """A queue model with its exponent, and how it is called in tables."""

    name: str
    queue: str
    power: int


# With n = 1 the three power models are the same.
MODELS: Final = (
    Model("risk_averse", "risk_averse", 1),
    Model("power n=1", "power", 1),
    Model("power n=2", "power", 2),
    Model("power n=3", "power", 3),
    Model("power2 n=2", "power2", 2),
    Model("power2 n=3", "power2", 3),
    Model("power3 n=2", "power3", 2),
    Model("power3 n=3", "power3", 3),
    Model("log", "log", 1),
    Model("log2", "log2", 1),
    Model("optimistic", "optimistic", 1),
)
DEFAULT: Final = [(model.queue, model.power) for model in MODELS].index((SimParams().queue, SimParams().queue_power))

# Where the original was filled and the probe was not, it waits on for this long: nothing says that its owner would not.
PATIENCE_NS: Final = 600_000_000_000
_LOG_ROWS: Final = 512  # for each model
_PARAMS: Final = SimParams(entry_ns=0, response_ns=0, max_orders=1, max_requests=4, max_responses=256, max_spent=256)


@dataclass(frozen=True)
class Played:
    """What became of N probes under M models.

    Attributes:
        models: M of them.
        placed: bool[N, M], whether it came to rest: post-only, it does not where it would have taken.
        filled: int64[N, M], lots filled by the time that the original ended.
        first_ns, done_ns: int64[N, M], stamps of the first and of the last lot's fill; -1 where there was none.
        until_ns: int64[N], when watching ended.
        fronts: float64[N, M, len(AGES_NS)], lots before it at those ages; NaN where the original had ended.
        away: int64[N], ticks from the best price of its side without it; 0 or less: it stands at the touch.
    """

    models: tuple[Model, ...]
    placed: Any
    filled: Any
    first_ns: Any
    done_ns: Any
    until_ns: Any
    fronts: Any
    away: Any


def play(
    markets: HiddenMarkets,
    probes: Sequence[Probe],
    models: Sequence[Model] = MODELS,
    patience_ns: int = PATIENCE_NS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Played:
    """Play every probe under every model. Raises `ProbeError` for a probe that does not fit the tape."""
    shape = (len(probes), len(models))
    out = Played(
        tuple(models), np.zeros(shape, bool), np.zeros(shape, np.int64), np.full(shape, -1), np.full(shape, -1),
        np.zeros(shape[0], np.int64), np.full((*shape, len(AGES_NS)), np.nan), np.zeros(shape[0], np.int64),
    )  # fmt: skip
    for n, probe in enumerate(probes):
        _play_one(markets, probe, patience_ns, out, n)
        if n % 100 == 0:
            progress(n, len(probes))
    return out


def _play_one(markets: HiddenMarkets, probe: Probe, patience_ns: int, out: Played, n: int) -> None:
    count = len(out.models)
    until = probe.end_ns + (patience_ns if probe.ended == FILLED else 0)
    market = markets.without(probe, until)
    until = min(until, market.end_ns)
    session = Session(market, _PARAMS, count, log="full", log_rows=count * _LOG_ROWS)
    session.vary(
        queue_model=[QUEUE_MODELS[model.queue] for model in out.models],
        queue_power=[model.power for model in out.models],
    )
    session.reset(probe.entry_ns)
    own, _ = session.bests(0, at_exchange=True)[:: probe.side]
    out.away[n] = probe.side * (own - probe.tick) if own is not None else 0
    for lane in range(count):
        session.submit(lane, probe.side, probe.tick, probe.qty, GTX)
    for k, age in enumerate(AGES_NS):
        if probe.entry_ns + age >= probe.end_ns:
            break
        session.advance(probe.entry_ns + age)
        for lane in range(count):
            out.fronts[n, lane, k] = _front(session, lane)
    session.advance(until)
    log = session.drain_log()
    out.until_ns[n] = until
    out.placed[n, log["lane"][log["kind"] == ACK]] = True
    fills = log[log["kind"] == FILL]
    at_end = fills["ns"] <= probe.end_ns
    np.add.at(out.filled[n], fills["lane"][at_end], fills["qty"][at_end])
    total = np.zeros(count, np.int64)
    for lane, ns, qty in zip(fills["lane"].tolist(), fills["ns"].tolist(), fills["qty"].tolist(), strict=True):
        if total[lane] == 0:
            out.first_ns[n, lane] = ns
        total[lane] += qty
        if total[lane] == probe.qty:
            out.done_ns[n, lane] = ns


def _front(session: Session, lane: int) -> float:
    """Lots before the lane's order; 0 where it is done."""
    orders = session.orders(lane)
    return float(orders["front"][0]) / (1 << FRONT_BITS) if len(orders) and orders["state"][0] == LIVE else 0.0
