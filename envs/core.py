"""`EnvCore`: episodes of a desk on N lanes. The scalar, the vector and the SB3 environment are faces of it.

An episode starts at a time that is a function of (lane seed, episode number) alone, as are its task and what
`randomise` varies. How it ends is written in `lobgym.envs.stepping`. What is held at the end is marked at the mid and
left: nothing is sold, no fee is paid for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.envs.arguments import capital_units, check_horizon, market_and_spec
from lobgym.envs.errors import ResetNeededError
from lobgym.envs.markets import TapeLike
from lobgym.envs.randomise import Randomiser
from lobgym.envs.realism import FeesLike, LatencyLike
from lobgym.envs.rewards import RewardFacts, RewardLike, RewardPlan
from lobgym.envs.spans import EpisodeStarts, SplitLike, StartLike
from lobgym.envs.stepping import (
    COLUMNS,
    DECODED,
    DRAWDOWN,
    END,
    END_COLUMN,
    END_NAMES,
    EPISODES,
    EPISODES_DTYPE,
    KEPT_COLUMNS,
    MAX_ABS,
    STEPS,
    SUM_COLUMNS,
    SUMS,
    Episodes,
    begin_lanes,
    decode_box,
    decode_choices,
    step_episodes,
)
from lobgym.envs.tasks import TaskPlan
from lobgym.sim.desk import Desk, StepResult
from lobgym.sim.desk_kernel import BLOCK_COLUMNS
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ActionError, ParamsError
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.params import SimParams
from lobgym.sim.session import raise_lane_error

__all__ = ["INFO_KEYS", "EnvCore", "Transition"]

_FOREVER: Final = 1 << 62

# What a step's info tells: the first columns of its block, by the name that they have there.
INFO_KEYS: Final = (
    "pnl_units", "equity_units", "position_lots", "fills", "maker_fills", "fees_units", "funding_units",
    "turnover_units", "refused", "time_ns",
)  # fmt: skip
_SUM_KEYS: Final = tuple(f"{name}_units" if name in ("pnl", "fees", "funding", "turnover") else name for name in SUMS)


class Transition:
    """One step of N lanes. Lanes that were masked out have reward 0 and no flag set.

    Attributes:
        observations: float32[N, D], of all lanes.
        rewards: float64[N].
        mids: float64[N], quote units.
        terminated, truncated: bool[N].
        ended: how many episodes ended.
        block: int64[N, COLUMNS], `lobgym.sim.desk_kernel.BLOCK` and how the episode ended.
    """

    __slots__ = ("block", "ended", "flags", "floats", "observations")

    def __init__(self, lanes: int, columns: int) -> None:
        self.observations: NDArray[np.float32] = np.empty((lanes, columns), np.float32)
        self.block: NDArray[np.int64] = np.empty((lanes, COLUMNS), np.int64)
        self.floats: NDArray[np.float64] = np.empty((2, lanes), np.float64)
        self.flags: NDArray[np.bool_] = np.empty((2, lanes), np.bool_)
        self.ended = 0

    def copy(self) -> Transition:
        """The same step, in arrays of its own."""
        made = Transition.__new__(Transition)
        made.observations, made.block = self.observations.copy(), self.block.copy()
        made.floats, made.flags, made.ended = self.floats.copy(), self.flags.copy(), self.ended
        return made

    @property
    def rewards(self) -> NDArray[np.float64]:
        """float64[N]."""
        rewards: NDArray[np.float64] = self.floats[0]
        return rewards

    @property
    def mids(self) -> NDArray[np.float64]:
        """float64[N], quote units."""
        mids: NDArray[np.float64] = self.floats[1]
        return mids

    @property
    def terminated(self) -> NDArray[np.bool_]:
        """bool[N]."""
        terminated: NDArray[np.bool_] = self.flags[0]
        return terminated

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """bool[N]."""
        truncated: NDArray[np.bool_] = self.flags[1]
        return truncated

    @property
    def done(self) -> NDArray[np.bool_]:
        """bool[N]: terminated or truncated, a fresh array."""
        done: NDArray[np.bool_] = self.flags[0] | self.flags[1]
        return done

    @property
    def ends(self) -> NDArray[np.int64]:
        """int64[N]: how the episodes ended, numbers of `lobgym.envs.stepping.ENDS`."""
        ends: NDArray[np.int64] = self.block[:, END_COLUMN]
        return ends

    @property
    def result(self) -> StepResult:
        """The desk's result."""
        return StepResult.of(self.block[:, :BLOCK_COLUMNS])


class EnvCore:
    """N lanes of episodes; see `LobVectorEnv` for the arguments."""

    def __init__(
        self,
        kind: str,
        tape: TapeLike,
        lanes: int,
        params: SimParams | None = None,
        spec: DeskSpec | Mapping[str, Any] | None = None,
        observation: ObservationLayout | tuple[str, ...] | list[str] | str | None = None,
        reward: RewardLike | None = None,
        horizon: int | None = 600,
        split: SplitLike = "all",
        test_fraction: float = 0.3,
        embargo_ns: int = 60_000_000_000,
        start: StartLike = "random",
        capital: float | None = None,
        latency: LatencyLike | None = None,
        queue: str | None = None,
        fees: FeesLike | None = None,
        profile: str | None = None,
        randomise: Mapping[str, Any] | None = None,
        task: Mapping[str, Any] | None = None,
    ) -> None:
        self.horizon = check_horizon(horizon)
        venue = {"latency": latency, "queue": queue, "fees": fees, "profile": profile}
        self.market, self.spec = market_and_spec(tape, kind, spec, params, observation, venue)
        self.split = split
        length_ns = (self.horizon or 1) * self.spec.interval_ns
        self.starts = EpisodeStarts.of(
            self.market.start_ns, self.market.end_ns, length_ns, split, test_fraction, embargo_ns, start,
            self.spec.layout.lookback_ns,
        )  # fmt: skip
        self.desk = Desk(self.spec, self.market, lanes, end_ns=self.starts.end_ns)
        self.plan = RewardPlan.of(reward, kind)
        self.unit = float(self.market.instrument.money_unit)
        self.tick = float(self.market.instrument.tick_size)
        self.capital_units = capital_units(capital, self.market, self.spec)
        self.tasks = TaskPlan.of(task, self.spec, self.market)
        self.randomiser = Randomiser(randomise or {}, self.desk.session)
        self.seeds: NDArray[np.uint64] | None = None
        self.episode = np.zeros(lanes, np.int64)
        self._everyone = np.ones(lanes, np.bool_)
        self._bins = self.spec.action.bins_array
        self._box = self.spec.action.continuous
        self._columns = self.spec.layout.size
        # A step writes where it wrote before: lane by lane into fresh memory, each line of it would be waited for.
        self._scratch = Transition(lanes, self._columns)
        self._episodes = self._new_episodes(lanes)
        self._packed = EPISODES.pack(self._episodes)
        header = np.zeros(1, EPISODES_DTYPE)
        header["episodes"] = self._packed.address
        self._handle: Any = header[0]
        self.watcher: Any = None  # a `lobgym.envs.rendering.Renderer`, told of every reset and step

    def _new_episodes(self, lanes: int) -> Episodes:
        return Episodes(
            running=np.zeros(lanes, np.bool_),
            live=np.zeros(lanes, np.bool_),
            returns=np.zeros(lanes, np.float64),
            kept=np.zeros((lanes, KEPT_COLUMNS), np.int64),
            sum_columns=SUM_COLUMNS.copy(),
            codes=np.zeros((lanes, self.spec.action.size), np.int32),
            reward=self.plan.terms.values,
            horizon=self.horizon or _FOREVER,
            capital_units=self.capital_units,
            position_lots_max=float(self.spec.position_lots_max),
            unit=self.unit,
            half_tick=0.5 * self.tick,
            sum_returns=0 if self.plan.functions else 1,
        )

    @property
    def lanes(self) -> int:
        """Number of lanes, N."""
        return self.desk.lanes

    @property
    def running(self) -> NDArray[np.bool_]:
        """bool[N]: an episode is under way."""
        return self._episodes.running

    @property
    def steps(self) -> NDArray[np.int64]:
        """int64[N]: steps of the episode so far."""
        steps: NDArray[np.int64] = self._episodes.kept[:, STEPS]
        return steps

    @property
    def returns(self) -> NDArray[np.float64]:
        """float64[N]: sums of the episode's rewards so far."""
        return self._episodes.returns

    @property
    def reward(self) -> Any:
        """The reward's compiled terms."""
        return self.plan.terms

    # -- episodes --------------------------------------------------------------------------------------------------

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
        self.randomiser.apply(self.seeds, self.episode)
        self.desk.reset(starts, self.seeds, mask)
        if self.tasks is not None:
            sides, lots = self.tasks.draw(self.seeds, self.episode)
            ends = starts + (self.horizon or _FOREVER) * self.spec.interval_ns if self.horizon else self.desk.end_ns
            self.desk.assign(sides, lots, ends, mask)
        begin_lanes(self._handle, mask)
        if self.watcher is not None:
            self.watcher.began(mask)
        return starts

    def next_episode(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """`begin` with the next episode number."""
        self.episode[mask] += 1
        return self.begin(mask)

    # -- steps -----------------------------------------------------------------------------------------------------

    def step(self, actions: ArrayLike, mask: NDArray[np.bool_] | None = None) -> Transition:
        """Step the lanes of `mask` (default: all).

        Raises:
            ResetNeededError: one of them has no running episode. ActionError: an action outside its space.
        """
        return self.step_lent(actions, mask).copy()

    def step_lent(self, actions: ArrayLike, mask: NDArray[np.bool_] | None = None) -> Transition:
        """`step`, in arrays that the next step overwrites."""
        self.step_into(self._scratch, actions, mask)
        return self._scratch

    def step_into(self, out: Transition, actions: ArrayLike, mask: NDArray[np.bool_] | None = None) -> None:
        """`step`, into arrays that are there already."""
        self.decode(actions)
        if mask is not None:
            np.copyto(self._episodes.live, mask)
        self._advance(out, mask is not None)
        if self.watcher is not None:
            self.watcher.stepped(actions, self._episodes.live.copy())

    def step_codes(self, codes: NDArray[np.integer[Any]], mask: NDArray[np.bool_] | None = None) -> Transition:
        """`step` with codes [N, A], which are not checked."""
        np.copyto(self._episodes.codes, codes, casting="same_kind")
        if mask is not None:
            np.copyto(self._episodes.live, mask)
        self._advance(self._scratch, mask is not None)
        return self._scratch.copy()

    def _advance(self, out: Transition, masked: bool) -> None:
        verdict = step_episodes(
            self.desk.handle, self._handle, masked, out.observations, out.block, out.floats, out.flags
        )  # fmt: skip
        if verdict < 0:
            raise_lane_error(self.desk.session.state)
            raise ResetNeededError(
                f"lane {-verdict - 1} has no running episode: call reset() before the first step, and after an end"
            )
        out.ended = verdict
        if self.plan.functions:
            self._add_functions(out)

    def _add_functions(self, out: Transition) -> None:
        e = self._episodes
        facts = RewardFacts(self.unit, self.tick, self.spec.position_lots_max, self.steps.copy())
        self.plan.add_functions(out.rewards, out.result, facts)
        out.rewards[~e.live] = 0.0
        e.returns[:] += out.rewards

    def decode(self, actions: ArrayLike) -> None:
        """Cut the lanes' actions into codes, float [N, A] in [-1, 1] or integers [N]; raises ActionError."""
        codes = self._episodes.codes
        array = np.asarray(actions)
        if self._box:
            if array.shape != codes.shape or array.dtype.kind not in "fiu":
                raise ActionError(
                    f"expected actions of shape {list(codes.shape)} and a float dtype, got {list(array.shape)} and "
                    f"{array.dtype}"
                )
            bad = decode_box(np.ascontiguousarray(array, np.float32), self._bins, codes)
        else:
            if array.size != len(codes) or array.dtype.kind not in "iu":
                raise ActionError(
                    f"expected one integer action a lane, shape [{len(codes)}], got {list(array.shape)} and "
                    f"{array.dtype}"
                )
            bad = decode_choices(np.ascontiguousarray(array.reshape(-1), np.int64), self._bins, codes)
        if bad != DECODED:
            wanted = "lie in [-1, 1], clip them" if self._box else f"be integers from 0 to {self._bins[0] - 1}"
            raise ActionError(f"action {array[bad].tolist()} of lane {bad} is outside its space: actions must {wanted}")

    # -- reading ---------------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, NDArray[Any]]:
        """Sums over every lane's current episode: exact integers, and the return and the length."""
        kept = self._episodes.kept
        sums: dict[str, NDArray[Any]] = {key: kept[:, k].copy() for k, key in enumerate(_SUM_KEYS)}
        return sums | {
            "max_abs_position_lots": kept[:, MAX_ABS].copy(),
            "max_drawdown_units": kept[:, DRAWDOWN].copy(),
            "steps": kept[:, STEPS].copy(),
            "return": self._episodes.returns.copy(),
            "end": END_NAMES[kept[:, END]],
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

    _LASTING: Final = ("running", "returns", "kept")

    def state(self) -> dict[str, Any]:
        """Everything that changes, for pickling."""
        e = self._episodes
        return {
            "seeds": None if self.seeds is None else self.seeds.copy(),
            "episode": self.episode.copy(),
            "episodes": {name: getattr(e, name).copy() for name in self._LASTING},
            "tasks": self.desk.tasks.copy(),
            "session": self.desk.session.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`, on a core made with the same arguments."""
        self.seeds = None if state["seeds"] is None else state["seeds"].copy()
        self.episode[:] = state["episode"]
        for name, array in state["episodes"].items():
            getattr(self._episodes, name)[...] = array
        self.desk.tasks[:] = state["tasks"]
        self.desk.session.restore(state["session"])
