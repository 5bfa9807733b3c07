"""Several policies on one tape, each a lane of one desk, and what each earned to the last unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.policy import Policy
from lobgym.experiments.errors import EvaluationError
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market

__all__ = ["Earned", "run_policies", "tick_lot_units"]

_TWICE: Final = 2


@dataclass(frozen=True)
class Earned:
    """One policy's run.

    Attributes:
        tick_lots: change of equity, the position marked at the exchange's own mid at the end, in ticks times lots.
        lots: traded.
        fills, maker_fills: how many.
    """

    tick_lots: float
    lots: int
    fills: int
    maker_fills: int


def tick_lot_units(market: Market) -> int:
    """Money units of one tick on one lot (linear and spot instruments)."""
    made = market.instrument
    return int(made.tick_size * made.lot_size * made.contract_size / made.money_unit)


def run_policies(market: Market, spec: DeskSpec, policies: Sequence[Policy], seed: int) -> list[Earned]:
    """Every policy alone on the whole tape, from its beginning to the last full interval.

    The mark is the exchange's mid, not the one that the trader has seen: a fill of the last milliseconds would
    otherwise be held against a value that it has already changed.
    """
    size = len(policies)
    desk = Desk(spec, market, size, log="fills", log_rows=1 << 17)
    desk.reset(market.start_ns, [seed] * size)
    for policy in policies:
        policy.reset(1, seed)
    observations = desk.observe()
    lots = np.zeros(size, np.int64)
    steps = (market.end_ns - market.start_ns) // spec.interval_ns
    codes = np.zeros((size, spec.action.size), np.int32)
    for step in range(steps):
        for lane, policy in enumerate(policies):
            codes[lane] = spec.action.decode(policy.act(observations[lane : lane + 1]))[0]
        observations, _ = desk.step(codes)
        if step % 64 == 0 or step == steps - 1:
            lots += _traded(desk, size)
    return [_earned(desk, lane, int(lots[lane])) for lane in range(size)]


def _traded(desk: Desk, size: int) -> NDArray[np.int64]:
    fills = desk.session.drain_fills()
    return np.bincount(fills["lane"], weights=fills["qty"], minlength=size).astype(np.int64)


def _earned(desk: Desk, lane: int, lots: int) -> Earned:
    row = desk.session.state.lane[lane]
    bid, ask = desk.session.bests(lane, at_exchange=True)
    if bid is None or ask is None:
        raise EvaluationError("a dealer's tape ended without quotes on both sides: it is not one")
    unit = tick_lot_units(desk.market)
    worth2 = int(row["position"]) * (bid + ask) * unit
    units2 = _TWICE * (int(row["cash"]) - int(row["fees"]) - int(row["funding"])) + worth2
    return Earned(units2 / (_TWICE * unit), lots, int(row["fills"]), int(row["maker_fills"]))
