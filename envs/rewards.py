"""Rewards: weighted terms of a step's exact money, and functions of one's own.

`RewardTerms` are computed in the compiled step; functions, called with the step's `StepResult` and `RewardFacts`, are
added to them afterwards. `reward=` takes one of either, or several.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.errors import RewardError
from lobgym.sim.actions import EXECUTION
from lobgym.sim.desk import StepResult
from lobgym.sim.errors import ParamsError

__all__ = [
    "RewardFacts",
    "RewardFunction",
    "RewardLike",
    "RewardPlan",
    "RewardTerms",
    "RewardValues",
    "default_reward",
]


class RewardValues(NamedTuple):
    """`RewardTerms` as the kernels take them."""

    pnl: float
    inventory_penalty: float
    spread_capture: float
    fees: float
    funding: float
    shortfall: float
    unfilled_bps: float
    drawdown: float
    scale: float


class RewardFacts(NamedTuple):
    """What a function may need to turn a step's integers into quote units."""

    unit: float  # quote units (inverse contracts: base units) that one money unit is worth
    tick: float  # quote units that a tick is worth
    position_lots_max: int
    steps: NDArray[np.int64]  # [N] steps of the episode so far, this one included


RewardFunction: TypeAlias = Callable[[StepResult, RewardFacts], NDArray[np.float64]]
RewardLike: TypeAlias = "RewardTerms | RewardFunction | tuple[RewardTerms | RewardFunction, ...]"


@dataclass(frozen=True)
class RewardTerms:
    """reward = scale * the sum of these terms, a step at a time, in quote units (inverse contracts: base units).

    The account is the exchange's, so a fill counts in the step in which it happens, not when the lane learns of it.
    Positions are marked at the local mid. `pnl` holds all the others' money already; they shape it.

    Attributes:
        pnl: weight of the change of equity, fees and funding included.
        inventory_penalty: quote units a step at the position limit, in proportion to |position| below it.
        spread_capture: weight of what the step's fills are worth more than they cost at the mid of the step's start.
        fees: weight of minus the fees paid (a rebate counts as a gain).
        funding: weight of minus the funding paid.
        shortfall: weight of minus the growth of the implementation shortfall of the lane's task, fees included, the
            unfilled part marked at the mid (Perold 1988); 0 without a task.
        unfilled_bps: what an episode that ends with an unfinished task is charged, in bps of the unfilled part's value.
        drawdown: weight of minus the growth of the episode's maximal drawdown.
        scale: of the sum.

    Raises:
        ParamsError: a term that is not finite, or a negative penalty.
    """

    pnl: float = 1.0
    inventory_penalty: float = 0.0
    spread_capture: float = 0.0
    fees: float = 0.0
    funding: float = 0.0
    shortfall: float = 0.0
    unfilled_bps: float = 0.0
    drawdown: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ParamsError(f"reward term {name} must be a finite number, got {value!r}")
        for name in ("inventory_penalty", "unfilled_bps"):
            if getattr(self, name) < 0:
                raise ParamsError(f"{name} must not be negative, got {getattr(self, name)}")

    @property
    def values(self) -> RewardValues:
        """The terms as the kernels take them."""
        return RewardValues(*(float(getattr(self, name)) for name in RewardValues._fields))

    def to_json(self) -> dict[str, Any]:
        """The terms as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


_NOTHING: Final = RewardTerms(pnl=0.0)


def default_reward(kind: str) -> RewardTerms:
    """The change of equity; where a parent order is worked, its implementation shortfall."""
    return RewardTerms(pnl=0.0, shortfall=1.0, unfilled_bps=10.0) if kind == EXECUTION else RewardTerms()


@dataclass(frozen=True)
class RewardPlan:
    """Terms for the kernel, and functions for afterwards."""

    terms: RewardTerms
    functions: tuple[RewardFunction, ...] = ()

    @classmethod
    def of(cls, reward: RewardLike | None, kind: str) -> RewardPlan:
        """What an environment's `reward=` means. Raises ParamsError for what is neither terms nor functions."""
        if reward is None:
            return cls(default_reward(kind))
        parts = list(reward) if isinstance(reward, (tuple, list)) else [reward]
        terms = [part for part in parts if isinstance(part, RewardTerms)]
        functions = tuple(part for part in parts if not isinstance(part, RewardTerms))
        if not parts or len(terms) > 1 or not all(callable(function) for function in functions):
            raise ParamsError(
                f"reward must be RewardTerms, a function of (StepResult, RewardFacts), or one RewardTerms and several "
                f"functions in a tuple; got {reward!r}"
            )
        return cls(terms[0] if terms else _NOTHING, functions)

    def add_functions(self, rewards: NDArray[np.float64], result: StepResult, facts: RewardFacts) -> None:
        """Add what the functions give to `rewards` [N], in place. Raises RewardError for what is no reward."""
        for function in self.functions:
            given = np.asarray(function(result, facts))
            name = getattr(function, "__name__", repr(function))
            if given.shape != rewards.shape or given.dtype.kind not in "fiu":
                raise RewardError(
                    f"reward function {name} must give one number a lane, float64[{len(rewards)}]; "
                    f"got {given.dtype} of shape {list(given.shape)}"
                )
            if not np.isfinite(given).all():
                lane = int(np.argmin(np.isfinite(given)))
                raise RewardError(f"reward function {name} gave {given[lane]} for lane {lane}: rewards must be finite")
            rewards += given
