"""`ArenaCore`: episodes of several agents in one `Exchange`. The PettingZoo and Gymnasium faces stand on it.

A step: every live agent's action becomes orders by the shared quoter and risk check, on what its own feed shows; the
exchange goes on by `interval_ns`; then accounts, ends and observations are taken. An episode is a function of (seed,
episode number) and the actions alone.
"""

from __future__ import annotations

import operator
import secrets
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from lobgym.envs.arena import kernel
from lobgym.envs.arena.config import ArenaConfig
from lobgym.envs.arena.tables import COUNTERS, make_members, make_run
from lobgym.envs.errors import ResetNeededError
from lobgym.sim.errors import ActionError, CapacityError, ParamsError
from lobgym.sim.exchange import Exchange
from lobgym.sim.records import BUY, SELL
from lobgym.sim.rng import below, draw

__all__ = ["ENDS", "INFO_KEYS", "ArenaCore"]

ENDS: Final = {
    kernel.RUNNING: "",
    kernel.BANKRUPT: "bankrupt",
    kernel.LIQUIDATED: "liquidated",
    kernel.FILLED: "filled",
}
HORIZON: Final = "horizon"
INFO_KEYS: Final = (*COUNTERS, "equity_units", "position_lots", "mid", "end")
_EPISODE_STREAM: Final = 71  # of the random numbers that episodes' seeds are drawn from
_TASK_STREAM: Final = 72
_SEED_MAX: Final = (1 << 63) - 1


class ArenaCore:
    """The agents of an `ArenaConfig` in one exchange.

    Attributes:
        agents: their names, in the order of their numbers as members of the exchange.
        exchange: the market; reading it is free, orders sent through it bypass the risk check.
        max_cycles: steps of an episode; a new value counts from the next reset on.
        run: the arrays that a step fills (`lobgym.envs.arena.tables.Run`).
    """

    def __init__(self, config: ArenaConfig) -> None:
        self.config = config
        self.agents = config.names
        self.index = {name: i for i, name in enumerate(self.agents)}
        self.specs = config.specs
        self.exchange: Exchange = config.make_exchange()
        made = self.exchange.instrument
        self.unit = float(made.money_unit)
        self.tick = float(made.tick_size)
        self.members = make_members(self.specs, config.capital_units(made), config.rewards, self.unit)
        self.run = make_run(self.members, max(spec.intents_max for spec in self.specs))
        self._handle = kernel.handle_of(self.exchange.board)
        self._sizes = [spec.action.size if spec.action.continuous else 0 for spec in self.specs]
        self.max_cycles = config.max_cycles
        self.seed: int | None = None
        self.episode = -1
        self.steps = 0

    @property
    def now_ns(self) -> int:
        """The exchange's clock, which is every agent's."""
        return self.exchange.now_ns

    def reset(self, seed: int | None = None) -> None:
        """Begin episode 0 of `seed`; without one, the next episode of the seed that there is, or of a random one.

        Raises:
            ParamsError: no integer from 0 to 2**63 - 1.
        """
        if seed is not None:
            try:
                seed = operator.index(seed)
            except TypeError:
                raise ParamsError(f"a seed must be an integer, got {seed!r}") from None
            if not 0 <= seed <= _SEED_MAX:
                raise ParamsError(f"a seed must lie between 0 and {_SEED_MAX}, got {seed}")
            self.seed, self.episode = seed, -1
        elif self.seed is None:
            self.seed = secrets.randbits(63)
        self.episode += 1
        self.steps = 0
        with np.errstate(over="ignore"):
            self.exchange.reset(int(draw(self.seed, _EPISODE_STREAM, self.episode)) >> 1)
        self.exchange.advance(self.exchange.now_ns + self.config.warmup_ns)
        for array in self.run:
            array[...] = 0
        self.run.live[:] = True
        self.run.clock[1] = 2 * self.config.start_tick
        with np.errstate(over="ignore"):
            kernel.look_all(self._handle, self.run)
            self._give_tasks(self.seed)
            lost = kernel.settle(self._handle, self.members, self.run, 1)
        if lost >= 0:
            raise self._late(lost)

    def _give_tasks(self, seed: int) -> None:
        """Draw the parent orders of this episode."""
        run, task = self.run, self.config.task
        for i, spec in enumerate(self.specs):
            if spec.kind != "execution":
                continue
            side = {"buy": BUY, "sell": SELL}.get(task.side)
            if side is None:
                side = BUY if below(seed, _TASK_STREAM + i, self.episode, 2) else SELL
            bid, ask, _ = run.touch[i].tolist()
            seen = run.place[i] >= 0 and 0 < bid < ask < 1 << 61
            now = self.now_ns
            lots = task.lots_of(spec)
            end = now + (task.steps or self.max_cycles) * self.config.interval_ns
            run.tasks[i] = (side, lots, now, end, bid + ask if seen else int(run.clock[1]))

    def take(self, i: int, action: Any) -> None:
        """Note agent `i`'s action for the next step. Raises ActionError for what has another shape or type."""
        size = self._sizes[i]
        try:
            if size == 0:
                self.run.actions[i, 0] = operator.index(action)
                return
            array = np.asarray(action)
            if array.shape == (size,) and array.dtype.kind in "fiu":
                self.run.actions[i, :size] = array
                return
        except TypeError:
            pass
        raise self._wrong(i, action)

    def _wrong(self, i: int, action: Any) -> ActionError:
        action_spec = self.specs[i].action
        if action_spec.continuous:
            wanted = f"{action_spec.size} finite numbers from -1 to 1 ({', '.join(action_spec.names)})"
        else:
            wanted = f"an integer from 0 to {action_spec.bins[0] - 1}"
        return ActionError(f"{self.agents[i]} needs {wanted}, got {action!r}; sample action_space for an example")

    def step(self, actions: Mapping[str, Any]) -> None:
        """One interval. `actions` has one entry for every live agent; `run` holds what came of it.

        Raises:
            ResetNeededError: nobody is left. ActionError: an action outside its space, too few or too many.
        """
        live = self.live
        if not live:
            raise ResetNeededError("step() without a running episode: call reset() first")
        for name in live:
            if name not in actions:
                raise ActionError(f"no action for {name}: every agent in env.agents needs one, {', '.join(live)}")
            self.take(self.index[name], actions[name])
        if len(actions) > len(live):
            extra = sorted(set(actions) - set(live))
            raise ActionError(f"actions for {', '.join(map(str, extra))}, who do not take part; live: {live}")
        self.go()

    def go(self) -> None:
        """One interval with the actions that were noted for every live agent. Raises as `step`."""
        members, run, exchange = self.members, self.run, self.exchange
        with np.errstate(over="ignore"):
            wrong = kernel.send(self._handle, members, run)
            if wrong >= 0:
                raise self._wrong(wrong, run.actions[wrong, : max(1, self._sizes[wrong])].tolist())
            exchange.advance(exchange.now_ns + self.config.interval_ns)
            self.steps += 1
            lost = kernel.settle(self._handle, members, run, 0)
        if lost >= 0:
            raise self._late(lost)

    def _late(self, i: int) -> CapacityError:
        return CapacityError(
            f"the feed of {self.agents[i]} is further behind than the pictures that are kept; make the arena with a "
            "smaller feed_delay_ns, or with exchange={'ladder_room': ...}"
        )

    @property
    def live(self) -> list[str]:
        """Agents whose episode goes on."""
        return [name for name, live in zip(self.agents, self.run.live.tolist(), strict=True) if live]

    def infos(self) -> dict[str, dict[str, Any]]:
        """`INFO_KEYS` of every agent that took part in the last step."""
        return {name: self.info(i) for i, name in enumerate(self.agents) if self.run.live[i]}

    def info(self, i: int) -> dict[str, Any]:
        """`INFO_KEYS` of one agent."""
        run = self.run
        mid = int(run.clock[1]) * 0.5 * self.tick
        end = ENDS[int(run.end[i])] or (HORIZON if self.steps >= self.max_cycles else "")
        values = (*run.deltas[i].tolist(), int(run.totals[i, 0]), int(run.positions[i]), mid, end)
        return dict(zip(INFO_KEYS, values, strict=True))

    def summary(self, i: int) -> dict[str, Any]:
        """Sums over an agent's episode: `COUNTERS`, and its length."""
        return dict(zip(COUNTERS, self.run.totals[i].tolist(), strict=True)) | {"steps": self.steps}

    def leave(self) -> list[str]:
        """Let those go whose episode is over; who is left."""
        self.run.live[:] &= (self.run.end == kernel.RUNNING) & (self.steps < self.max_cycles)
        return self.live

    # -- copies ----------------------------------------------------------------------------------------------------

    _STATE: Final = ("max_cycles", "seed", "episode", "steps")

    def __getstate__(self) -> dict[str, Any]:
        """Arguments and everything that changes; no address outlives its process."""
        made = {name: getattr(self, name) for name in self._STATE}
        run = [array.copy() for array in self.run]
        return made | {"config": self.config, "run": run, "exchange": self.exchange.snapshot()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        ArenaCore.__init__(self, state["config"])
        for name in self._STATE:
            setattr(self, name, state[name])
        held: tuple[Any, ...] = tuple(self.run)
        for array, copy in zip(held, state["run"], strict=True):
            array[...] = copy
        self.exchange.restore(state["exchange"])

    def line(self) -> str:
        """A few lines about the market and every agent, for people."""
        made = self.exchange.instrument
        bid, ask = (self.exchange.ladder(side, 1) for side in (BUY, SELL))
        prices = [str(made.ticks_to_price(int(one[0, 0]))) if len(one) else "-" for one in (bid, ask)]
        rows = [f"{made.symbol} t={self.now_ns} step={self.steps} bid={prices[0]} ask={prices[1]}"]
        for i, name in enumerate(self.agents):
            orders = len(self.exchange.orders(i))
            equity = made.money_to_float(int(self.run.totals[i, 0]))
            state = ENDS[int(self.run.end[i])] or ("live" if self.run.live[i] else HORIZON)
            rows.append(f"{name}: position={int(self.run.positions[i])} orders={orders} equity={equity:.6f} {state}")
        return "\n".join(rows)
