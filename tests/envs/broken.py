"""A small sound environment without lobgym inside, and one fault for everything that the battery promises to see.

It walks along a fixed row of numbers from a place drawn by its seed; an action is a stake on the next number.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from lobgym.envs.testing import Subject

ID = "tests.envs.broken:broken/Walk-v0"
ROW = 500


class Walk(gymnasium.Env[Any, Any]):
    """`shifted` numbers from that index on are others; `fault` names what is broken."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 10}  # type: ignore[misc]

    def __init__(
        self, length: int = 11, shifted: int = ROW, fault: str = "", render_mode: str | None = None, lane: int = 0
    ) -> None:
        if length < 1:
            raise ValueError("length must be at least 1 step") if fault != "no remedy" else ValueError("bad")
        bound = np.inf if fault == "no bounds" else 1.0
        self.observation_space = spaces.Box(-bound, bound, (3,), np.float32)
        low = -2.0 if fault == "wide action" else -1.0
        self.action_space = spaces.Box(low, -low, (2,), np.float32)
        self.length, self.fault, self.render_mode, self.lane = length, fault, render_mode, lane
        self.row = np.random.default_rng(0).integers(-9, 10, ROW)
        self.row[shifted:] *= -1
        self.at = self.steps = self.total = self.count = 0
        self.running = False
        self.buffer = np.zeros(3, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=0 if self.fault == "seed built in" else seed, options=options)
        draw = np.random.default_rng() if self.fault == "seed unused" else self.np_random
        self.at = int(draw.integers(20, ROW // 2))
        if self.fault == "global generator":
            self.at += np.random.randint(5)
        self.steps = self.total = 0
        self.running = True
        return self.observe(), {"at": self.at}

    def observe(self) -> np.ndarray:
        seen = self.row[self.at + (self.fault == "looks ahead")] if self.fault != "no data" else self.at % 10
        values = [seen / 10, self.steps / self.length, self.total / 10_000]
        if self.fault == "too large" and self.steps == 7:
            values[0] = 1.25
        if self.fault == "one process" and os.environ.get("PYTHONHASHSEED") == "1234567":
            values[2] = 0.5
        made = np.array(values, np.float32)
        if self.fault == "one buffer":
            self.buffer[:] = made
            return self.buffer
        if self.fault == "NaN" and self.steps == 7:
            made[1] = np.nan
        return made

    def check(self, action: Any) -> np.ndarray:
        if not self.running and self.fault != ("steps after the end" if self.steps else "steps before reset"):
            raise gymnasium.error.ResetNeeded("call reset() first")
        action = np.asarray(action)
        if self.fault == "moves on a refusal":
            self.at += 1
        if self.fault == "an assertion":
            assert self.action_space.contains(action.astype(np.float32)), "action out of its space"
        if self.fault == "clips":
            return np.clip(np.nan_to_num(action), -1, 1)[:2]
        if action.shape != (2,) or not (np.abs(action) <= -self.action_space.low).all():
            raise KeyError("action") if self.fault == "another error" else ValueError("expected Box(-1, 1, (2,))")
        return action

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        stake = self.check(action)
        self.at += 1
        self.steps += 1
        self.count += 1
        won = int(np.rint(stake[0] * 100)) * int(self.row[self.at])
        self.total += won
        over = self.steps >= self.length
        self.running = not over
        info: dict[str, Any] = {"won": won, "position": float(stake[1])}
        if over:
            info["summary"] = {"won": self.total + (self.fault == "wrong sum"), "steps": self.steps}
        if self.fault == "late key" and self.steps == 5 and self.at % 2:
            info["surprise"] = 1
        if self.fault == "changing type" and won > 500:
            info["won"] = float(won)
        if self.fault == "object in info":
            info["self"] = lambda: 0
        if self.fault == "lane differs" and self.lane == 1 and self.count == 900:
            won += 1
        reward: Any = won * 0.01
        if self.fault == "endless reward" and self.steps == 7:
            reward = float("inf")
        if self.fault == "numpy flag":
            return self.observe(), reward, False, np.bool_(over), info
        return self.observe(), str(reward) if self.fault == "text reward" else reward, False, over, info

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "total": 0} if self.fault == "forgets" else self.__dict__

    def render(self) -> str:
        return f"{self.at}"


class WalkVector(SyncVectorEnv):
    """Its native vector face."""

    def __init__(self, num_envs: int = 1, autoreset_mode: Any = "NextStep", fault: str = "", **arguments: Any) -> None:
        makers = [lambda i=i: Walk(**arguments, fault=fault, lane=i) for i in range(num_envs)]  # type: ignore[misc]
        super().__init__(makers, autoreset_mode=autoreset_mode, copy=fault != "one vector buffer")
        self.fault = fault
        if fault == "mode unsaid":
            self.metadata = {}

    def step(self, actions: Any) -> Any:
        if self.fault == "vector clips":
            actions = np.clip(np.nan_to_num(actions), -1, 1)
        *rest, infos = super().step(actions)
        if self.fault == "no mask":
            infos.pop("_won", None)
        return *rest, infos


gymnasium.register("broken/Walk-v0", entry_point=Walk, vector_entry_point=WalkVector)


def subject(fault: str = "", **changes: Any) -> Subject:
    """The walk with a fault, ready for the battery."""
    mistakes = (({"length": 0}, "at least 1"),)
    made = Subject(ID, {"length": 11, "fault": fault}, steps=100, altered=shift, mistakes=mistakes)
    return made.replace(**changes)


def shift(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """A walk whose numbers are others after the one that `env` stands at."""
    walk: Any = env.unwrapped
    return Walk(walk.length, walk.at + 1, walk.fault)


def made_by_hand(length: int = 11) -> Walk:
    """A callable that the battery takes instead of an id."""
    return Walk(length)
