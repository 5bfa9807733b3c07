"""Markets, configs and networks that the tests of EarnHFT share; nothing here has learnt anything."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from lobgym.agents.earnhft.config import EarnHftConfig
from lobgym.agents.earnhft.network import QNet, QWeights
from lobgym.sim.flow.dealer import planted_alpha_tape
from lobgym.sim.market import Market
from lobgym.sim.tape import open_tape

TAPE = "synth:volatile?seed=5&minutes=10"
COLUMNS = ("spread", "imbalance_1", "microprice", "return_5s", "imbalance_5")
ROUTER_COLUMNS = ("imbalance_5", "return_30s")
SECOND = 1_000_000_000


@cache
def market_of(tape: str = TAPE) -> Market:
    return Market.compile(open_tape(tape))


@cache
def alpha_market(seed: int = 3, hours: float = 0.75, strength: float = 2.0) -> Market:
    return Market.compile(planted_alpha_tape(seed, hours, strength))


def config_of(**changes: Any) -> EarnHftConfig:
    given: dict[str, Any] = {"tape": TAPE, "columns": COLUMNS, "router_columns": ROUTER_COLUMNS, "seed": 1}
    return EarnHftConfig.profile_of("tiny", **given | changes)


def random_agent(seed: int, columns: tuple[str, ...], targets: tuple[float, ...], hidden: int = 16) -> QWeights:
    """A network whose actions depend on what it sees."""
    rng = np.random.default_rng(seed)
    size = len(targets)
    shapes = {
        "w1": (len(columns), hidden), "b1": (hidden,), "embed": (size, size), "w2": (hidden + size, hidden),
        "b2": (hidden,), "w3": (hidden, size), "b3": (size,),
    }  # fmt: skip
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return QWeights(**arrays, targets=targets, columns=columns)


def constant_agent(action: int, columns: tuple[str, ...], targets: tuple[float, ...], hidden: int = 16) -> QWeights:
    """A network that always takes one action."""
    made = QNet(len(columns), targets, len(targets), hidden).weights(columns, targets)
    best = np.zeros(len(targets), np.float32)
    best[action] = 1.0
    return QWeights(made.w1, made.b1, made.embed, made.w2, made.b2, made.w3, best, targets=targets, columns=columns)
