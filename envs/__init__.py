"""Environments: Gymnasium, vector and Stable-Baselines3 faces of one desk.

Importing this package registers `lobgym/Grid-v0` and `lobgym/TargetPosition-v0`:

    gymnasium.make("lobgym.envs:lobgym/Grid-v0")
    gymnasium.make_vec("lobgym.envs:lobgym/Grid-v0", num_envs=64)
"""

from __future__ import annotations

from typing import Final

import gymnasium

from lobgym.envs.errors import EnvError, HorizonError, ResetNeededError
from lobgym.envs.rewards import RewardTerms
from lobgym.envs.scalar import LobEnv
from lobgym.envs.vector import LobVectorEnv

__all__ = ["ENV_KINDS", "EnvError", "HorizonError", "LobEnv", "LobVectorEnv", "ResetNeededError", "RewardTerms"]

ENV_KINDS: Final = {"lobgym/Grid-v0": "grid", "lobgym/TargetPosition-v0": "target"}

for _id, _kind in ENV_KINDS.items():
    if _id not in gymnasium.registry:
        gymnasium.register(
            _id,
            entry_point="lobgym.envs.scalar:LobEnv",
            vector_entry_point="lobgym.envs.vector:LobVectorEnv",
            kwargs={"kind": _kind},
        )
