"""Environments: Gymnasium, vector and Stable-Baselines3 faces of one desk.

Importing this package registers the ids of `ENV_KINDS`:

    gymnasium.make("lobgym.envs:lobgym/Grid-v0")
    gymnasium.make_vec("lobgym.envs:lobgym/Grid-v0", num_envs=64)
"""

from __future__ import annotations

from typing import Final

import gymnasium

from lobgym.envs.errors import EnvError, HorizonError, ResetNeededError, RewardError, SplitError
from lobgym.envs.rewards import RewardFacts, RewardTerms
from lobgym.envs.scalar import LobEnv
from lobgym.envs.vector import LobVectorEnv

__all__ = [
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

for _id, _kind in ENV_KINDS.items():
    if _id not in gymnasium.registry:
        gymnasium.register(
            _id,
            entry_point="lobgym.envs.scalar:LobEnv",
            vector_entry_point="lobgym.envs.vector:LobVectorEnv",
            kwargs={"kind": _kind},
        )
