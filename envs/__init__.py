"""Environments: Gymnasium, vector and Stable-Baselines3 faces of one desk.

Importing this package registers `ENV_IDS`:

    gymnasium.make("lobgym.envs:lobgym/Grid-v0")
    gymnasium.make_vec("lobgym.envs:lobgym/Grid-v0", num_envs=64)
"""

from __future__ import annotations

from typing import Any, Final

import gymnasium

from lobgym.envs.errors import EnvError, HorizonError, ResetNeededError, RewardError, SplitError
from lobgym.envs.rewards import RewardFacts, RewardTerms
from lobgym.envs.scalar import LobEnv
from lobgym.envs.vector import LobVectorEnv

__all__ = [
    "ENV_IDS",
    "ENV_KINDS",
    "EnvError",
    "HorizonError",
    "LobEnv",
    "LobVectorEnv",
    "ResetNeededError",
    "RewardError",
    "RewardFacts",
    "RewardTerms",
    "SplitError",
]

ENV_KINDS: Final = {
    "lobgym/Grid-v0": "grid",
    "lobgym/TargetPosition-v0": "target",
    "lobgym/MarketMaking-v0": "maker",
    "lobgym/Execution-v0": "execution",
}

# What Gymnasium is told of each id: entry points by name, so that nothing is imported before somebody makes one.
_SPECS: Final[dict[str, dict[str, Any]]] = {
    **{
        name: {
            "entry_point": "lobgym.envs.scalar:LobEnv",
            "vector_entry_point": "lobgym.envs.vector:LobVectorEnv",
            "kwargs": {"kind": kind},
        }
        for name, kind in ENV_KINDS.items()
    },
    "lobgym/Router-v0": {
        "entry_point": "lobgym.envs.router:RouterEnv",
        "vector_entry_point": "lobgym.envs.router_vector:RouterVectorEnv",
    },
    "lobgym/ArenaAgent-v0": {"entry_point": "lobgym.envs.arena.agent:ArenaAgentEnv"},
}
ENV_IDS: Final = tuple(_SPECS)

for _id, _spec in _SPECS.items():
    if _id not in gymnasium.registry:
        gymnasium.register(_id, **_spec)
