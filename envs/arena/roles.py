"""Who takes part in an arena: roles, each a kind of desk with sizes that fit the instrument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from lobgym.envs.arena.rewards import ArenaReward

__all__ = ["DEFAULT_AGENTS", "ROLES", "Role"]


@dataclass(frozen=True)
class Role:
    """What an agent does: the kind of its desk (`DeskSpec.kind`), what it is rewarded for, and one line about it."""

    name: str
    kind: str
    reward: ArenaReward
    about: str


ROLES: Final = {
    role.name: role
    for role in (
        Role("maker", "maker", ArenaReward(), "one post-only quote a side"),
        Role("grid", "grid", ArenaReward(), "several post-only quotes a side"),
        Role("taker", "target", ArenaReward(), "a target position, reached by taking"),
        Role("execution", "execution", ArenaReward(pnl=0.0, shortfall=1.0), "a parent order, to be filled in time"),
    )
}
DEFAULT_AGENTS: Final[dict[str, Any]] = {"maker": 2, "grid": 1, "taker": 1, "execution": 1}
