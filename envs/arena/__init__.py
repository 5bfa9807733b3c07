"""The arena: several agents of several kinds who trade with each other and with a crowd, in one `Exchange`.

`lobgym.envs.arena_v0` is its PettingZoo face, `lobgym/ArenaAgent-v0` makes one agent of it a Gymnasium environment.
"""

from __future__ import annotations

from lobgym.envs.arena.agent import ArenaAgentEnv
from lobgym.envs.arena.columns import ARENA_COLUMNS
from lobgym.envs.arena.config import ArenaTask
from lobgym.envs.arena.rewards import ArenaReward
from lobgym.envs.arena.roles import DEFAULT_AGENTS, ROLES

__all__ = ["ARENA_COLUMNS", "DEFAULT_AGENTS", "ROLES", "ArenaAgentEnv", "ArenaReward", "ArenaTask"]
