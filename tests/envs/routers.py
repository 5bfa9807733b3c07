"""The oracle of the router: its macro step written as a plain loop over the lower scalar environment, and policies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobgym.envs import LobEnv, RewardTerms
from lobgym.envs.pool import CodeProfile, PolicyProfile, PositionProfile, Profile

ARGUMENTS: dict[str, Any] = {
    "tape": "synth?seed=4&minutes=3",
    "spec": {"interval_ns": 250_000_000},
    "reward": RewardTerms(inventory_penalty=0.125, scale=3.0),
}
COLUMNS = ("spread", "imbalance_5", "return_5s", "inventory")
SUMS = ("pnl_units", "fees_units", "turnover_units", "fills", "maker_fills", "refused")


class Follow:
    """Target positions: the largest where the first column is positive, else the smallest."""

    name = "follow"

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        return np.where(observations[:, 0] > 0, 4, 0)


class Breathe:
    """Grids whose spacing and skew follow the two columns that it reads."""

    name = "breathe"

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        rows = np.zeros((len(observations), 5), np.float32)
        rows[:, 0] = observations[:, 0]
        rows[:, 2] = -observations[:, 1]
        return rows


def mixed_pool(kind: str) -> list[Profile]:
    """A rule, a policy and a profile by position."""
    if kind == "target":
        rules = [CodeProfile("short", (0,)), CodeProfile("flat", (2,)), CodeProfile("long", (4,))]
        policy = PolicyProfile("follow", Follow(), ("microprice", "spread"))
    else:
        rules = [
            CodeProfile("a", (0, 0, 4, 0, 0)),
            CodeProfile("b", (2, 1, 6, 1, 0)),
            CodeProfile("c", (0, 4, 2, 0, 0)),
        ]
        policy = PolicyProfile("breathe", Breathe(), ("natr_14", "inventory"))
    return [rules[0], policy, PositionProfile("by-position", (-0.5, 0.0, 0.5), (rules[2], policy, rules[1])), rules[1]]


class PlainRouter:
    """Macro steps of one lane, one lower step after the other, through the lower environment's own face."""

    def __init__(self, kind: str, pool: list[Profile], macro_steps: int, horizon: int, **arguments: Any) -> None:
        self.pool, self.macro_steps = pool, macro_steps
        self.columns = list(COLUMNS)
        for column in ("microprice", "natr_14"):
            self.columns.append(column)
        self.env = LobEnv(kind, horizon=horizon * macro_steps, observation=self.columns, **arguments)
        self.chosen: int | None = None

    def reset(self, seed: int | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        self.row, info = self.env.reset(seed=seed)
        self.chosen = None
        return self.seen(), info

    def seen(self) -> NDArray[np.float32]:
        one_hot = np.zeros(len(self.pool), np.float32)
        if self.chosen is not None:
            one_hot[self.chosen] = 1.0
        return np.concatenate([self.row[: len(COLUMNS)], one_hot])

    def action(self, profile: Profile) -> Any:
        if isinstance(profile, CodeProfile):
            return self.env.core.spec.action.encode(np.array([profile.codes]))[0]
        assert isinstance(profile, PolicyProfile)
        assert profile.columns is not None
        row = np.array([[self.row[self.columns.index(name)] for name in profile.columns]], np.float32)
        return profile.policy.act(row)[0]

    def step(self, choice: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        profile = self.pool[choice]
        if isinstance(profile, PositionProfile):
            position = float(self.row[self.columns.index("inventory")])
            nearest = min(range(len(profile.positions)), key=lambda k: (abs(profile.positions[k] - position), k))
            profile = profile.members[nearest]
        self.chosen = choice
        total, sums, count = 0.0, dict.fromkeys(SUMS, 0), 0
        for _ in range(self.macro_steps):
            self.row, reward, terminated, truncated, info = self.env.step(self.action(profile))
            total += reward
            count += 1
            for name in SUMS:
                sums[name] += info[name]
            if terminated or truncated:
                break
        told = {name: info[name] for name in ("equity_units", "position_lots", "mid")}
        return self.seen(), total, terminated, truncated, {**told, **sums, "inner_steps": count, "profile": choice}
