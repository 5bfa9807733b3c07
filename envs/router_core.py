"""`RouterCore`: episodes in macro steps. N lanes of an `EnvCore` below, and above them a choice among profiles.

A macro step is `macro_steps` steps of the lower environment in which the chosen profile acts for the lane. Its reward
is the sum of theirs, added in their order, its integers are their exact sums. An episode of the lower environment that
ends inside a macro step ends the macro step there.

Where the pool has rules only, a macro step is one compiled call (`lobgym.envs.holding`). Where a policy of the pool
acts, a reward is a function or every step is drawn, it is a loop over the lower core's steps, with the same bits.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.envs.core import INFO_KEYS
from lobgym.envs.errors import ResetNeededError
from lobgym.envs.holding import Held, HoldingCore
from lobgym.envs.markets import TapeLike
from lobgym.envs.pool import BoundPool, Pool, PoolLike, default_pool
from lobgym.sim.actions import KINDS
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ActionError, LayoutError, ParamsError
from lobgym.sim.market import Market
from lobgym.sim.observation import DEFAULT_COLUMNS, ObservationLayout

__all__ = ["MACRO_STEPS_MAX", "RouterCore", "RouterTransition"]

MACRO_STEPS_MAX: Final = 1 << 20
_INNER_STEPS_MAX: Final = 1 << 40  # of an episode
_NONE: Final = -1  # in place of a choice: no profile has acted yet

# What a step's info tells of the account at its end; its other integers are sums over the steps below.
_AT_THE_END: Final = ("equity_units", "position_lots", "time_ns")
_STEP_SUMS: Final = tuple(key for key in INFO_KEYS if key not in _AT_THE_END)


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
        self.core = HoldingCore(kind, tape, lanes, spec=spec, observation=below, **arguments | {"horizon": horizon})
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

    # -- episodes --------------------------------------------------------------------------------------------------

    def seed(self, seed: int | list[int | None] | None, mask: NDArray[np.bool_]) -> None:
        """See `EnvCore.seed`."""
        self.core.seed(seed, mask)

    def begin(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Start the current episode of the lanes of `mask`. Returns int64[N], their start times (others: undefined)."""
        self._forget(mask)
        starts = self.core.begin(mask)
        self._rows[mask] = self.desk.observe()[mask]
        return starts

    def next_episode(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """`begin` with the next episode number."""
        self._forget(mask)
        starts = self.core.next_episode(mask)
        self._rows[mask] = self.desk.observe()[mask]
        return starts

    def _forget(self, mask: NDArray[np.bool_]) -> None:
        self.choice[mask] = _NONE
        for array in (self.steps, self.switches, self.returns):
            array[mask] = 0

    def observe(self) -> NDArray[np.float32]:
        """float32[N, D + P], fresh: the router's columns, and 1 at the profile that acted last (0 after a reset)."""
        out = np.zeros((self.lanes, self.size), np.float32)
        out[:, : self.layout.size] = self._rows[:, : self.layout.size]
        acted = np.flatnonzero(self.choice != _NONE)
        out[acted, self.layout.size + self.choice[acted]] = 1.0
        return out

    def column(self, name: str) -> NDArray[np.float32]:
        """float32[N], fresh: a column of the desk's observation, each lane's at its own time.

        Raises:
            LayoutError: neither the router nor its pool reads it.
        """
        if name not in self.spec.layout.columns:
            raise LayoutError(f"nothing here reads {name!r}, only {', '.join(self.spec.layout.columns)}")
        return self._rows[:, self.spec.layout.columns.index(name)].copy()

    def step(self, actions: ArrayLike, mask: NDArray[np.bool_] | None = None) -> RouterTransition:
        """A macro step of the lanes of `mask` (default: all); the actions of other lanes are not read.

        Raises:
            ResetNeededError: one of them has no running episode. ActionError: no choice of the pool, or what one of
            its policies answered is no action.
        """
        mask = self._everyone if mask is None else mask
        choices = self._choices(actions, mask)
        if not self.core.running[mask].all():
            raise ResetNeededError("step() without a running episode: call reset() first")
        before = self.core.summary()
        actors = self._bound.actors(choices, self._rows)
        self.switches += mask & (self.choice != _NONE) & (self.choice != choices)
        self.choice[mask] = choices[mask]
        if self._bound.rules_only and self.core.can_hold:
            held = self.core.hold(self._bound.codes(actors), mask, self.macro_steps)
            self._rows = held.observations
        else:
            held = self._loop(actors, mask)
        self.steps += mask
        self.returns += held.rewards
        values = self._values(before, self.core.summary(), held.result)
        return RouterTransition(self.observe(), held.rewards, held.terminated, held.truncated, values)

    def _loop(self, actors: NDArray[np.int64], live: NDArray[np.bool_]) -> Held:
        """The macro step of the lanes of `live`, step by step."""
        rewards = np.zeros(self.lanes, np.float64)
        terminated = np.zeros(self.lanes, np.bool_)
        truncated = np.zeros(self.lanes, np.bool_)
        for _ in range(self.macro_steps):
            step = self.core.step(self._bound.actions(actors, self._rows, live), live)
            rewards += step.rewards
            np.copyto(self._rows, step.observations, where=live[:, None])
            terminated |= step.terminated
            truncated |= step.truncated
            live = live & ~(step.terminated | step.truncated)
            if not live.any():
                break
        return Held(self._rows, rewards, terminated, truncated, step.result)

    def _values(self, before: dict[str, Any], after: dict[str, Any], result: Any) -> dict[str, NDArray[Any]]:
        values: dict[str, NDArray[Any]] = {name: after[name] - before[name] for name in _STEP_SUMS}
        values["equity_units"] = result.equity.copy()
        values["position_lots"] = result.position.copy()
        values["time_ns"] = self.desk.t_ns
        values["mid"] = result.mid2 * (0.5 * self.core.tick)
        values["inner_steps"] = after["steps"] - before["steps"]
        values["profile"] = self.choice.copy()
        values["end"] = after["end"]
        return values

    def start_values(self, starts: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """What a reset's info tells, one array [N] a key; `starts` is what `begin` returned."""
        assert self.core.seeds is not None
        values: dict[str, NDArray[Any]] = {
            "start_ns": starts,
            "episode_id": self.core.episode.copy(),
            "lane_seed": self.core.seeds.copy(),
        }
        if self.core.tasks is not None:
            values["task_side"] = self.desk.tasks["side"].copy()
            values["task_lots"] = self.desk.tasks["lots"].copy()
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
    return ObservationLayout(DEFAULT_COLUMNS["router"] if observation is None else tuple(observation))


def _own_columns(kind: str, spec: DeskSpec | dict[str, Any] | None) -> tuple[str, ...]:
    """What a policy of the pool reads that names no columns: those of the spec, or the kind's default ones."""
    layout = spec.layout if isinstance(spec, DeskSpec) else (spec or {}).get("layout")
    if isinstance(layout, ObservationLayout):
        return layout.columns
    if kind not in KINDS:
        raise ParamsError(f"a router stands on a desk of one of the kinds {', '.join(KINDS)}, got {kind!r}")
    return DEFAULT_COLUMNS[kind]
