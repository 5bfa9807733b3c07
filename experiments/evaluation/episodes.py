"""Episodes one by one: what a policy did and earned in each, and the same actions played again at other times.

`Evaluator` has one figure a seed; what is sliced, paired or permuted needs one an episode. Starts, lane seeds and desk
are the same, so that the figures of a seed's episodes add up to the evaluator's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.policy import Policy
from lobgym.experiments.evaluation.evaluate import EPISODES_MAX, EvalConfig
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market

__all__ = ["Played", "join_played", "play", "play_codes"]

_SUMMED: Final = ("pnl", "fees", "turnover", "fills")


@dataclass(frozen=True)
class Played:
    """E episodes. Money in money units.

    Attributes:
        seeds: int64[E], the evaluation's seed of each.
        starts_ns: int64[E].
        pnl, fees, turnover, fills: int64[E].
        codes: int32[T, E, A], the actions as the desk took them.
    """

    seeds: NDArray[np.int64]
    starts_ns: NDArray[np.int64]
    pnl: NDArray[np.int64]
    fees: NDArray[np.int64]
    turnover: NDArray[np.int64]
    fills: NDArray[np.int64]
    codes: NDArray[np.int32]

    @property
    def episodes(self) -> int:
        """How many, E."""
        return len(self.starts_ns)

    def by_seed(self, field: str = "pnl") -> dict[int, int]:
        """Exact sums over the episodes of each seed."""
        values, made = getattr(self, field), dict.fromkeys((int(seed) for seed in self.seeds), 0)
        for seed, value in zip(self.seeds, values, strict=True):
            made[int(seed)] += int(value)
        return made


def play(market: Market, spec: DeskSpec, policy: Policy, config: EvalConfig) -> Played:
    """A policy in every episode of a configuration.

    Raises:
        HorizonError, EvaluationError: episodes that do not fit.
    """

    def one(seed: int) -> Played:
        policy.reset(config.episodes, seed * EPISODES_MAX)
        return _episodes(market, spec, config, seed, lambda desk, seen, step: desk.action.decode(policy.act(seen)))

    return join_played([one(seed) for seed in config.seeds])


def play_codes(market: Market, spec: DeskSpec, codes: NDArray[np.int32], config: EvalConfig) -> Played:
    """Given actions in every episode of a configuration, whatever is observed.

    Args:
        codes: int32[T, E, A], of the episodes of all seeds in their order.
    """
    size = config.episodes
    played = []
    for number, seed in enumerate(config.seeds):
        own = np.ascontiguousarray(codes[:, number * size : (number + 1) * size])
        played.append(_episodes(market, spec, config, seed, partial(_given, own)))
    return join_played(played)


def _given(codes: NDArray[np.int32], desk: Desk, observations: NDArray[np.float32], step: int) -> NDArray[np.int32]:
    row: NDArray[np.int32] = codes[step]
    return row


def join_played(parts: list[Played]) -> Played:
    """Episodes of several seeds as one, in order."""
    names = [name for name in Played.__dataclass_fields__ if name != "codes"]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Played(**joined, codes=np.concatenate([part.codes for part in parts], axis=1))


def _episodes(
    market: Market,
    spec: DeskSpec,
    config: EvalConfig,
    seed: int,
    decide: Callable[[Desk, NDArray[np.float32], int], NDArray[np.int32]],
) -> Played:
    size = config.episodes
    desk = Desk(spec, market, size)
    starts = config.starts(market, seed, spec.interval_ns)
    desk.reset(starts, seed * EPISODES_MAX)
    observations = desk.observe()
    codes = np.empty((config.horizon, size, spec.action.size), np.int32)
    sums = {name: np.zeros(size, np.int64) for name in _SUMMED}
    for step in range(config.horizon):
        codes[step] = decide(desk, observations, step)
        observations, result = desk.step(codes[step])
        for name in _SUMMED:
            sums[name] += getattr(result, name)
    return Played(np.full(size, seed, np.int64), starts, **sums, codes=codes)
