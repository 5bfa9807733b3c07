"""Spaces of the arena's agents."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from lobgym.envs.arena.columns import ARENA_COLUMNS
from lobgym.sim.actions import ActionSpec

__all__ = ["action_space_of", "observation_space_of", "state_space_of"]


def observation_space_of() -> spaces.Space[Any]:
    """Box [-1, 1]^D, float32; a fresh object, for each agent seeds its own."""
    return spaces.Box(-1.0, 1.0, (len(ARENA_COLUMNS),), np.float32)


def state_space_of(agents: int) -> spaces.Space[Any]:
    """Of what all agents observe together."""
    return spaces.Box(-1.0, 1.0, (agents * len(ARENA_COLUMNS),), np.float32)


def action_space_of(action: ActionSpec) -> spaces.Space[Any]:
    """Box [-1, 1]^A float32, or Discrete."""
    if action.continuous:
        return spaces.Box(-1.0, 1.0, (action.size,), np.float32)
    return spaces.Discrete(action.bins[0])
