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
SUMS = ("pnl_units", "fees_units", "funding_units", "turnover_units", "fills", "maker_fills", "refused")


class Follow:
    """Target positions: the largest where the first column is positive, else the smallest."""

    name = "follow"

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        return np.where(observations[:, 0] > 0, 4, 0)


class Breathe:
    """A Box action of which two dimensions follow the two columns that it reads."""

    name = "breathe"

    def __init__(self, size: int = 5) -> None:
        self.size = size

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        rows = np.zeros((len(observations), self.size), np.float32)
        rows[:, 0] = observations[:, 0]
        rows[:, min(2, self.size - 1)] = -observations[:, 1]
        return rows


# Rules by kind, none of which stands still for long.
CODES: dict[str, dict[str, tuple[int, ...]]] = {
    "target": {"short": (0,), "flat": (2,), "long": (4,)},
    "grid": {"a": (0, 0, 4, 0, 0), "b": (2, 1, 6, 1, 0), "c": (0, 4, 2, 0, 0)},
    "maker": {"a": (0, 0, 0, 0), "b": (2, 14, 1, 8), "c": (0, 3, 4, 4)},
    "execution": {"a": (8, 4), "b": (4, 2), "c": (0, 0)},
}


def pool_for(kind: str, mixed: bool) -> list[Profile]:
    """Three rules and a profile by position; if `mixed`, a policy acts in the place of one rule and of one member."""
    first, second, third = (CodeProfile(name, codes) for name, codes in CODES[kind].items())
    other: CodeProfile | PolicyProfile = CodeProfile("other", first.codes)
    if mixed and kind == "target":
        other = PolicyProfile("follow", Follow(), ("microprice", "spread"))
    elif mixed:
        other = PolicyProfile("breathe", Breathe(len(first.codes)), ("natr_14", "inventory"))
    return [first, other, PositionProfile("by-position", (-0.5, 0.0, 0.5), (third, other, second)), second]


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
        told = {name: info[name] for name in ("equity_units", "position_lots", "time_ns", "mid", "end")}
        return self.seen(), total, terminated, truncated, {**told, **sums, "inner_steps": count, "profile": choice}
