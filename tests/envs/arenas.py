"""Small arenas, and agents that do anything, for the tests of the arena."""

from __future__ import annotations

from typing import Any

import numpy as np

from lobgym.envs.arena.config import ArenaConfig
from lobgym.envs.arena.core import ArenaCore

MS = 1_000_000
EVERYONE = {"maker": 2, "grid": 2, "taker": 2, "execution": 1}


def core_of(**arguments: Any) -> ArenaCore:
    return ArenaCore(ArenaConfig(**{"max_cycles": 100, "agents": EVERYONE, **arguments}))


def random_actions(core: ArenaCore, rng: np.random.Generator) -> dict[str, Any]:
    """Takers change their minds at times, the others at every step."""
    made: dict[str, Any] = {}
    for name in core.live:
        action = core.specs[core.index[name]].action
        if action.continuous:
            made[name] = rng.uniform(-1, 1, action.size).astype(np.float32)
        else:
            made[name] = int(rng.integers(action.bins[0]))
    return made


def held(core: ArenaCore, name: str, codes: list[int]) -> Any:
    return core.specs[core.index[name]].action.encode(np.array([codes], np.int32))[0]
