"""`arena_v0`: several agents of several kinds in one market that reacts, on PettingZoo.

    from lobgym.envs import arena_v0

    parallel = arena_v0.parallel_env(max_cycles=200, agents={"maker": 2, "taker": 1})
    turns = arena_v0.env(max_cycles=200)

Arguments are the fields of `lobgym.envs.arena.config.ArenaConfig`, and `render_mode`.
"""

from __future__ import annotations

from typing import Any

from pettingzoo.utils import wrappers
from pettingzoo.utils.conversions import parallel_to_aec

from lobgym.envs.arena.parallel import ArenaParallelEnv

__all__ = ["env", "parallel_env", "raw_env"]


def parallel_env(max_cycles: int = 1000, **arguments: Any) -> ArenaParallelEnv:
    """All agents act at once."""
    return ArenaParallelEnv(max_cycles=max_cycles, **arguments)


def raw_env(max_cycles: int = 1000, **arguments: Any) -> Any:
    """Agents act in turns, on observations of the same time; the market goes on when the last one has acted."""
    return parallel_to_aec(parallel_env(max_cycles, **arguments))


def env(max_cycles: int = 1000, **arguments: Any) -> Any:
    """`raw_env`, which says clearly what was called in the wrong order."""
    return wrappers.OrderEnforcingWrapper(raw_env(max_cycles, **arguments))
