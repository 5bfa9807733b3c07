"""`RouterCore`: episodes in macro steps. N lanes of an `EnvCore` below, and above them a choice among profiles.

A macro step is `macro_steps` steps of the lower environment in which the chosen profile acts for the lane. Its reward
is the sum of theirs, added in their order, its integers are their exact sums. An episode of the lower environment that
ends inside a macro step ends the macro step there.

Of the lower core only its public surface is used: seed, begin, next_episode, step, summary, state and restore, and the
desk's `observe` after a reset.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.envs.core import EnvCore
from lobgym.envs.markets import TapeLike
from lobgym.envs.pool import BoundPool, Pool, PoolLike, default_pool
from lobgym.sim import observation as columns_of
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ActionError, ParamsError
from lobgym.sim.market import Market
from lobgym.sim.observation import GRID_COLUMNS, TARGET_COLUMNS, ObservationLayout

__all__ = ["MACRO_STEPS_MAX", "RouterCore", "RouterTransition"]

MACRO_STEPS_MAX: Final = 1 << 20
_INNER_STEPS_MAX: Final = 1 << 40  # of an episode
_NONE: Final = -1  # in place of a choice: no profile has acted yet

# Sums of an episode whose change during a macro step its info tells.
_STEP_SUMS: Final = ("pnl_units", "fees_units", "turnover_units", "fills", "maker_fills", "refused")


class RouterTransition(NamedTuple):
    """One macro step of N lanes. Lanes that were masked out have reward 0 and no flag set."""

    observations: NDArray[np.float32]  # [N, D + P]
    rewards: NDArray[np.float64]  # [N]
    terminated: NDArray[np.bool_]  # [N]
    truncated: NDArray[np.bool_]  # [N]
    values: dict[str, NDArray[Any]]  # what the step's info tells, one array [N] a key


class RouterCore:
    """N lanes of episodes in macro steps; see `RouterVectorEnv` for the arguments."""

    def __init__(
        self,
        kind: str,
        tape: TapeLike,
        lanes: int,
        pool: PoolLike | None,
        macro_steps: int,
        horizon: int | None,
        observation: ObservationLayout | tuple[str, ...] | list[str] | str | None,
        spec: DeskSpec | dict[str, Any] | None,
        **arguments: Any,
    ) -> None:
        self.macro_steps = _count("macro_steps", macro_steps, MACRO_STEPS_MAX)
        if horizon is not None:
            horizon = _count("horizon", horizon, _INNER_STEPS_MAX // self.macro_steps) * self.macro_steps
        self.layout = _router_layout(observation)
        given = None if pool is None else Pool.of(pool)
        own = _own_columns(kind, spec)
        # The lower core encodes the router's columns and after them what else the policies of the pool read.
        wanted = dict.fromkeys(self.layout.columns + (() if given is None else given.columns(own)))
        below = ObservationLayout(tuple(wanted))
        self.core = EnvCore(kind, tape, lanes, spec=spec, observation=below, **arguments | {"horizon": horizon})
        self.pool = default_pool(self.spec) if given is None else given
        self._bound = BoundPool(self.pool, self.spec, own)
        self._rows = np.zeros((lanes, below.size), np.float32)  # the lower core's observations, at each lane's own time
        self._everyone = np.ones(lanes, np.bool_)
        self.choice = np.full(lanes, _NONE, np.int64)
        self.steps = np.zeros(lanes, np.int64)
        self.switches = np.zeros(lanes, np.int64)
        self.returns = np.zeros(lanes, np.float64)

    @property
    def lanes(self) -> int:
        """Number of lanes, N."""
        return self.core.lanes

    @property
    def market(self) -> Market:
        """The compiled tape."""
        return self.core.market

    @property
    def desk(self) -> Desk:
        """The desk below."""
        return self.core.desk

    @property
    def spec(self) -> DeskSpec:
        """The desk's spec; its layout is the router's columns and what the pool's policies read."""
        return self.core.spec

    @property
    def unit(self) -> float:
        """Worth of one money unit in quote units (inverse contracts: base units)."""
        return self.core.unit

    @property
    def size(self) -> int:
        """Number of columns of an observation: the layout's, and one for each profile."""
        return self.layout.size + self.pool.size

    @property
    def episode(self) -> NDArray[np.int64]:
        """int64[N]: number of each lane's episode."""
        return self.core.episode

    @property
    def seeds(self) -> NDArray[np.uint64] | None:
        """uint64[N], or None before the first reset."""
        return self.core.seeds

    # -- episodes --------------------------------------------------------------------------------------------------

    def seed(self, seed: int | list[int | None] | None, mask: NDArray[np.bool_]) -> None:
        """See `EnvCore.seed`."""
        self.core.seed(seed, mask)

    def begin(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Start the current episode of the lanes of `mask`. Returns int64[N], their start times (others: undefined)."""
        return self._forget(self.core.begin(mask), mask)

    def next_episode(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """`begin` with the next episode number."""
        return self._forget(self.core.next_episode(mask), mask)

    def _forget(self, starts: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        self.choice[mask] = _NONE
        for array in (self.steps, self.switches, self.returns):
            array[mask] = 0
        self._rows[mask] = self.desk.observe()[mask]
        return starts

    def observe(self) -> NDArray[np.float32]:
        """float32[N, D + P], fresh: the router's columns, and 1 at the profile that acted last (0 after a reset)."""
        out = np.zeros((self.lanes, self.size), np.float32)
        out[:, : self.layout.size] = self._rows[:, : self.layout.size]
        acted = np.flatnonzero(self.choice != _NONE)
        out[acted, self.layout.size + self.choice[acted]] = 1.0
        return out

    def step(self, actions: ArrayLike, mask: NDArray[np.bool_] | None = None) -> RouterTransition:
        """A macro step of the lanes of `mask` (default: all); the actions of other lanes are not read.

        Raises:
            ResetNeededError: one of them has no running episode. ActionError: no choice of the pool, or what one of
            its policies answered is no action.
        """
        mask = self._everyone if mask is None else mask
        choices = self._choices(actions, mask)
        before = self.core.summary()
        actors = self._bound.actors(choices, self._rows)
        rewards = np.zeros(self.lanes, np.float64)
        terminated = np.zeros(self.lanes, np.bool_)
        truncated = np.zeros(self.lanes, np.bool_)
        live = mask
        for _ in range(self.macro_steps):
            step = self.core.step(self._bound.actions(actors, self._rows, live), live)
            rewards += step.rewards
            np.copyto(self._rows, step.observations, where=live[:, None])
            terminated |= step.terminated
            truncated |= step.truncated
            live = live & ~(step.terminated | step.truncated)
            if not live.any():
                break
        self._count(choices, rewards, mask)
        values = self._values(before, self.core.summary(), step.result)
        return RouterTransition(self.observe(), rewards, terminated, truncated, values)

    def _count(self, choices: NDArray[np.int64], rewards: NDArray[np.float64], mask: NDArray[np.bool_]) -> None:
        self.switches += mask & (self.choice != _NONE) & (self.choice != choices)
        self.choice[mask] = choices[mask]
        self.steps += mask
        self.returns += rewards

    def _values(self, before: dict[str, Any], after: dict[str, Any], result: Any) -> dict[str, NDArray[Any]]:
        values: dict[str, NDArray[Any]] = {name: after[name] - before[name] for name in _STEP_SUMS}
        values["equity_units"] = result.equity.copy()
        values["position_lots"] = result.position.copy()
        values["mid"] = result.mid2 * (0.5 * self.core.tick)
        values["inner_steps"] = after["steps"] - before["steps"]
        values["profile"] = self.choice.copy()
        if "end" in after:
            values["end"] = after["end"]
        return values

    def summary(self) -> dict[str, NDArray[Any]]:
        """The lower core's sums over every lane's current episode, in which `steps` and `return` are of macro steps.

        `return` is the sum of the macro steps' rewards in their order, `inner_steps` the lower core's steps,
        `switches` how often another profile was chosen than the one before.
        """
        below = self.core.summary()
        return below | {
            "inner_steps": below["steps"],
            "steps": self.steps.copy(),
            "switches": self.switches.copy(),
            "return": self.returns.copy(),
        }

    def line(self, lane: int) -> str:
        """One line about a lane, for people."""
        choice = int(self.choice[lane])
        return f"{self.core.line(lane)} profile={'-' if choice == _NONE else self.pool.names[choice]}"

    # -- copies ----------------------------------------------------------------------------------------------------

    _STATE: Final = ("_rows", "choice", "steps", "switches", "returns")

    def state(self) -> dict[str, Any]:
        """Everything that changes, for pickling."""
        return {name: getattr(self, name) for name in self._STATE} | {"core": self.core.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`, on a core made with the same arguments."""
        for name in self._STATE:
            setattr(self, name, state[name])
        self.core.restore(state["core"])

    def _choices(self, actions: ArrayLike, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        array = np.asarray(actions)
        if array.shape != (self.lanes,) or array.dtype.kind not in "iu":
            raise ActionError(
                f"a router takes one integer a lane, of shape [{self.lanes}], got {array.dtype} of shape "
                f"{list(array.shape)}"
            )
        choices = np.where(mask, array, 0).astype(np.int64)
        wrong = np.flatnonzero((choices < 0) | (choices >= self.pool.size))
        if wrong.size:
            raise ActionError(
                f"choice {choices[wrong[0]]} of lane {wrong[0]} is none of the pool's 0 to {self.pool.size - 1}: "
                f"{', '.join(self.pool.names)}"
            )
        return choices


def _count(name: str, value: Any, largest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 1 <= value <= largest:
        raise ParamsError(f"{name} must be an integer from 1 to {largest}, got {value!r}")
    return int(value)


def _router_layout(observation: ObservationLayout | tuple[str, ...] | list[str] | str | None) -> ObservationLayout:
    if isinstance(observation, ObservationLayout):
        return observation
    if isinstance(observation, str):
        observation = (observation,)
    if observation is None:
        observation = getattr(columns_of, "ROUTER_COLUMNS", GRID_COLUMNS)
    return ObservationLayout(tuple(observation))


def _own_columns(kind: str, spec: DeskSpec | dict[str, Any] | None) -> tuple[str, ...]:
    """What a policy of the pool reads that names no columns: those of the spec, or the kind's default ones."""
    layout = spec.layout if isinstance(spec, DeskSpec) else (spec or {}).get("layout")
    if isinstance(layout, ObservationLayout):
        return layout.columns
    named = {"grid": GRID_COLUMNS, "target": TARGET_COLUMNS}
    for name in ("maker", "execution"):
        named[name] = getattr(columns_of, f"{name.upper()}_COLUMNS", GRID_COLUMNS)
    return named.get(kind, GRID_COLUMNS)
