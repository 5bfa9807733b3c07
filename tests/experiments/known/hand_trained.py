"""Trainers and fitters that learn nothing and are known anyway: what the studies' tests put in EarnHFT's place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lobgym.agents.baselines.alpha import SignalTable
from lobgym.agents.policy import Policy
from lobgym.experiments.known.alpha import alpha_desk
from lobgym.experiments.known.cells import Players, flow_of, venue_of
from lobgym.experiments.known.players import programme_of
from lobgym.experiments.studies.splits import Span
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.flow.dealer import DealerFlow
from lobgym.sim.market import Market

FLAT = ((0, 0, 0),) * 3


def knows(task: dict[str, Any], train: Market, aside: Path) -> tuple[Players, dict[str, Any]]:
    """The optimal programme under the name of a trained player; without a correction, one that only sits there."""
    spec = alpha_desk(train)
    params = venue_of(task)
    spec = spec if params is None else spec.replace(params=params)
    table = FLAT
    if task["strength"] is not None and all(task["corrections"].values()):
        table = programme_of(flow_of(task), spec).optimal_table()
    (aside / "learned.txt").write_text(train.tape.digest)
    return {"learner": (SignalTable(spec, table, 0.3, "learner"), spec)}, {"seen": train.tape.digest}


def lazy(task: dict[str, Any], train: Market, aside: Path) -> tuple[Players, dict[str, Any]]:
    """Nobody learned anything."""
    spec = alpha_desk(train)
    return {"learner": (SignalTable(spec, FLAT, 0.3, "learner"), spec)}, {}


def noting(market: Market, train: Sequence[Span], options: dict[str, Any]) -> tuple[Policy, DeskSpec]:
    """A threshold that learns nothing; it notes down what it was given to learn from, a line a call."""
    with Path(options["note"]).open("a") as file:
        file.write(json.dumps([list(span) for span in train]) + "\n")
    spec = alpha_desk(market)
    return SignalTable(spec, programme_of(DealerFlow.planted_alpha(0.5), spec).optimal_table(), 0.3, "noting"), spec


def peeking(market: Market, train: Sequence[Span], options: dict[str, Any]) -> tuple[Policy, DeskSpec]:
    """The programme, as a fitter; it refuses to be given what lies in a span that `options` forbids."""
    for low, high in train:
        assert high < options["from_ns"] or low > options["to_ns"] or options["from_ns"] < 0
    spec = alpha_desk(market)
    flow = DealerFlow.planted_alpha(0.5)
    return SignalTable(spec, programme_of(flow, spec).optimal_table(), flow.imbalance_threshold, "programme"), spec
