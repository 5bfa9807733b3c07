"""`EnvCore`: episodes of a desk on N lanes. The scalar, the vector and the SB3 environment are faces of it.

An episode starts at a time that is a function of (lane seed, episode number) alone and ends after `horizon` steps, at
the end of the tape (both truncations), when the lane's equity has fallen to -capital, or when its parent order is
filled (both terminations). What is held at the end is marked at the mid and left: nothing is sold, no fee is paid.

An execution desk's parent order has the position limit's lots and the whole horizon; its side is drawn as the start is.
"""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.envs.errors import ResetNeededError
from lobgym.envs.markets import TapeLike, market_for
from lobgym.envs.rewards import RewardTerms
from lobgym.envs.spans import EpisodeStarts
from lobgym.sim.actions import EXECUTION
from lobgym.sim.desk import Desk, StepResult
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ParamsError
from lobgym.sim.market import Market
from lobgym.sim.mids import quoted_mid2
from lobgym.sim.money import mark_value
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.params import SimParams
from lobgym.sim.records import BUY, SELL
from lobgym.sim.rng import below
from lobgym.sim.view import cursor_at

__all__ = ["EnvCore", "Transition", "resolve_spec"]

_HORIZON_MAX: Final = 1 << 40
_SIDE_STREAM: Final = 2  # of the random numbers that choose a parent order's side

# What an episode sums up, and where each step's share of it comes from in StepResult.
_SUMS: Final = {
    "pnl_units": "pnl",
    "fees_units": "fees",
    "turnover_units": "turnover",
    "fills": "fills",
    "maker_fills": "maker_fills",
    "filled_orders": "filled_orders",
    "submits": "submits",
    "cancels": "cancels",
    "refused": "refused",
}


class Transition(NamedTuple):
    """One step of N lanes. Lanes that were masked out have reward 0 and no flag set."""

    observations: NDArray[np.float32]  # [N, D]
    rewards: NDArray[np.float64]  # [N]
    terminated: NDArray[np.bool_]  # [N]
    truncated: NDArray[np.bool_]  # [N]
    result: StepResult  # valid until the next step


def resolve_spec(
    market: Market,
    kind: str,
    spec: DeskSpec | dict[str, Any] | None,
    params: SimParams | None,
    observation: ObservationLayout | tuple[str, ...] | list[str] | str | None,
) -> DeskSpec:
    """A desk spec from what an environment's caller gave: a whole spec, or overrides of the market's defaults."""
    changes: dict[str, Any] = {}
    if params is not None:
        changes["params"] = params
    if observation is not None:
        if isinstance(observation, str):
            observation = (observation,)
        if not isinstance(observation, ObservationLayout):
            observation = ObservationLayout(tuple(observation))
        changes["layout"] = observation
    if isinstance(spec, DeskSpec):
        if spec.kind != kind:
            raise ParamsError(f"this environment needs a desk of kind {kind!r}, the spec is of kind {spec.kind!r}")
        return spec.replace(**changes)
    return DeskSpec.for_market(market, kind, **(spec or {}) | changes)


class EnvCore:
    """N lanes of episodes; see `LobVectorEnv` for the arguments."""

    def __init__(
        self,
        kind: str,
        tape: TapeLike,
        lanes: int,
        params: SimParams | None = None,
        spec: DeskSpec | dict[str, Any] | None = None,
        observation: ObservationLayout | tuple[str, ...] | list[str] | None = None,
        reward: RewardTerms | None = None,
        horizon: int = 600,
        split: str = "all",
        test_fraction: float = 0.3,
        embargo_ns: int = 60_000_000_000,
        start: str | int = "random",
        capital: float | None = None,
    ) -> None:
        if isinstance(horizon, bool) or not isinstance(horizon, (int, np.integer)) or not 1 <= horizon <= _HORIZON_MAX:
            raise ParamsError(f"horizon must be an integer of at least 1 step, got {horizon!r}")
        for name, value, wanted in (("params", params, SimParams), ("reward", reward, RewardTerms)):
            if value is not None and not isinstance(value, wanted):
                raise ParamsError(f"{name} must be a {wanted.__name__} or None, got {value!r}")
        horizon = int(horizon)
        implied = _print_implied_depth(spec, params)
        self.market = market_for(tape, implied)
        self.spec = resolve_spec(self.market, kind, spec, params, observation)
        self.desk = Desk(self.spec, self.market, lanes)
        self.reward = reward or RewardTerms()
        self.horizon = horizon
        self._length_ns = length_ns = horizon * self.spec.interval_ns
        self.starts = EpisodeStarts.of(
            self.market.start_ns, self.market.end_ns, length_ns, split, test_fraction, embargo_ns, start
        )
        self.unit = float(self.market.instrument.money_unit)
        self.tick = float(self.market.instrument.tick_size)
        self.capital_units = self._capital(capital)
        self.seeds: NDArray[np.uint64] | None = None
        self.episode = np.zeros(lanes, np.int64)
        self.running = np.zeros(lanes, np.bool_)
        self.steps = np.zeros(lanes, np.int64)
        self.returns = np.zeros(lanes, np.float64)
        self.max_abs_position = np.zeros(lanes, np.int64)
        self.sums = {name: np.zeros(lanes, np.int64) for name in _SUMS}
        self.watcher: Any = None  # a `lobgym.envs.rendering.Renderer`, told of every reset and step

    @property
    def lanes(self) -> int:
        """Number of lanes, N."""
        return self.desk.lanes

    def seed(self, seed: int | list[int | None] | None, mask: NDArray[np.bool_]) -> None:
        """Seed the lanes of `mask` (integer s: lane i gets s + i), or move them on to their next episode.

        A lane that was never seeded and is given no seed draws one from the operating system.
        """
        given: list[int | None]
        if isinstance(seed, (int, np.integer)):
            given = [int(seed) + i for i in range(self.lanes)]
        else:
            given = [None] * self.lanes if seed is None else list(seed)
        if len(given) != self.lanes:
            raise ParamsError(f"expected one seed, or a list of {self.lanes}, got {len(given)}")
        if self.seeds is None:
            self.seeds = np.array([secrets.randbits(63) for _ in range(self.lanes)], np.uint64)
            self.episode[:] = -1
        for i, one in enumerate(given):
            if not mask[i]:
                continue
            if one is None:
                self.episode[i] += 1
                continue
            if not 0 <= one < 1 << 64:
                raise ParamsError(f"a seed must lie between 0 and 2**64 - 1, got {one}")
            self.seeds[i] = one
            self.episode[i] = 0

    def begin(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Start the current episode of the lanes of `mask`. Returns int64[N], their start times (others: undefined)."""
        assert self.seeds is not None
        starts = self.starts.draw(self.seeds, self.episode)
        self.desk.reset(starts, self.seeds, mask)
        if self.spec.kind == EXECUTION:
            self.desk.assign(self._sides(), self.spec.position_lots_max, starts + self._length_ns, mask)
        self.running[mask] = True
        for array in (self.steps, self.returns, self.max_abs_position, *self.sums.values()):
            array[mask] = 0
        if self.watcher is not None:
            self.watcher.began(mask)
        return starts

    def next_episode(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """`begin` with the next episode number."""
        self.episode[mask] += 1
        return self.begin(mask)

    def step(self, actions: ArrayLike, mask: NDArray[np.bool_] | None = None) -> Transition:
        """Step the lanes of `mask` (default: all).

        Raises:
            ResetNeededError: one of them has no running episode. ActionError: an action outside its space.
        """
        live = self.running if mask is None else self.running & mask
        if not (live.all() if mask is None else (live == mask).all()):
            raise ResetNeededError("step() without a running episode: call reset() first")
        observations, result = self.desk.step(self.desk.action.decode(actions), live)
        rewards = self.reward.compute(result.pnl, result.position, self.unit, self.spec.position_lots_max)
        terminated = result.equity <= -self.capital_units
        if self.spec.kind == EXECUTION:
            terminated |= self.desk.tasks["side"] * result.position >= self.desk.tasks["lots"]
        self.steps += live
        truncated = ((self.steps >= self.horizon) | result.ended) & ~terminated
        if mask is not None:
            rewards[~live] = 0.0
            terminated &= live
            truncated &= live
        self.returns += rewards
        np.maximum(self.max_abs_position, np.abs(result.position), out=self.max_abs_position)
        for name, field in _SUMS.items():
            self.sums[name] += getattr(result, field)
        self.running = self.running & ~(terminated | truncated)
        if self.watcher is not None:
            self.watcher.stepped(actions, live)
        return Transition(observations, rewards, terminated, truncated, result)

    def _sides(self) -> NDArray[np.int64]:
        """int64[N]: the side of each lane's parent order; a desk that may not be short only buys."""
        assert self.seeds is not None
        if not self.spec.risk.short:
            return np.full(self.lanes, BUY, np.int64)
        keys = zip(self.seeds.tolist(), self.episode.tolist(), strict=True)
        drawn = [below(seed, _SIDE_STREAM, episode, 2) for seed, episode in keys]
        return np.where(np.array(drawn) == 0, BUY, SELL).astype(np.int64)

    def summary(self) -> dict[str, NDArray[Any]]:
        """Sums over every lane's current episode: exact integers, and the return and the length."""
        sums = {name: array.copy() for name, array in self.sums.items()}
        return sums | {
            "max_abs_position_lots": self.max_abs_position.copy(),
            "steps": self.steps.copy(),
            "return": self.returns.copy(),
        }

    def line(self, lane: int) -> str:
        """One line about a lane, for people."""
        bid, ask = self.desk.session.bests(lane)
        made = self.market.instrument
        prices = [" - " if ticks is None else str(made.ticks_to_price(ticks)) for ticks in (bid, ask)]
        account = self.desk.session.account(lane)
        orders = self.desk.session.orders(lane)
        return (
            f"{made.symbol} t={self.desk.session.t_ns(lane)} step={self.steps[lane]} bid={prices[0]} ask={prices[1]} "
            f"position={account.view_position_lots} orders={len(orders)} "
            f"equity={made.money_to_float(self.desk.equity(lane)):.6f}"
        )

    # -- copies ----------------------------------------------------------------------------------------------------

    _STATE: Final = ("seeds", "episode", "running", "steps", "returns", "max_abs_position", "sums")

    def state(self) -> dict[str, Any]:
        """Everything that changes, for pickling."""
        made = {"session": self.desk.session.snapshot(), "tasks": self.desk.tasks.copy()}
        return {name: getattr(self, name) for name in self._STATE} | made

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`, on a core made with the same arguments."""
        for name in self._STATE:
            setattr(self, name, state[name])
        self.desk.session.restore(state["session"])
        self.desk.tasks[:] = state["tasks"]

    def _capital(self, capital: float | None) -> int:
        if capital is None:
            local = self.market.local_view[0]
            mid2 = quoted_mid2(local, cursor_at(local, self.market.start_ns))
            return max(1, abs(int(mark_value(self.desk.session.econ, self.spec.position_lots_max, mid2))))
        try:
            units = int(Decimal(str(capital)) / self.market.instrument.money_unit)
        except (ArithmeticError, ValueError):  # no number, NaN, infinite
            units = 0
        if units < 1:
            raise ParamsError(f"capital must be a positive amount of the quote currency, got {capital!r}")
        return units


def _print_implied_depth(spec: DeskSpec | dict[str, Any] | None, params: SimParams | None) -> bool:
    if params is None and isinstance(spec, DeskSpec):
        params = spec.params
    if params is None and isinstance(spec, dict):
        params = spec.get("params")
    return True if params is None else params.print_implied_depth
