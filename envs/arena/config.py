"""`ArenaConfig`: who takes part in an arena, in which market, and by which rules; checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

import numpy as np

from lobgym.envs.arena.rewards import ArenaReward
from lobgym.envs.arena.roles import DEFAULT_AGENTS, ROLES, Role
from lobgym.sim.arguments import whole
from lobgym.sim.desk_spec import OFFSET_MULTIPLES, SPACING_MULTIPLES, DeskSpec, price_unit_ticks
from lobgym.sim.errors import ParamsError
from lobgym.sim.exchange import START_NS, Exchange
from lobgym.sim.instrument import SYNTH, Instrument
from lobgym.sim.money import MONEY_MAX, economics_of, mark_value
from lobgym.sim.observation import TARGET_COLUMNS, ObservationLayout
from lobgym.sim.params import SimParams
from lobgym.sim.risk import RiskLimits
from lobgym.sim.scenarios import SCENARIOS, read_name, scenario_params

__all__ = ["AGENTS_MAX", "ArenaConfig", "ArenaTask"]

AGENTS_MAX: Final = 64
_CYCLES_MAX: Final = 1 << 40
_INTERVAL_NS_MAX: Final = 3_600_000_000_000
_WARMUP_NS_MAX: Final = 600_000_000_000
_START_TICK: Final = 600_000

# The exchange: prices for hours, orders for a crowd, pictures of the last few seconds for late feeds.
_EXCHANGE: Final[dict[str, Any]] = {"width": 1 << 16, "node_room": 1 << 15, "ladder_room": 1024}
_RESPONSES: Final = 4096  # answers on their way to an agent: a sweep of a book of small orders has many

# Sizes, in units that fit any instrument.
_ORDER_NOTIONAL: Final = 5_000  # quote units of an order at size code 0
_POSITION_ORDERS: Final = 30  # position limit, in orders
_SWEEP_UNITS: Final = 20  # tenths of a basis point that an IOC may walk
_LEAN_UNITS: Final = 5
_BEHIND_UNITS: Final = (5, 1)
_BAND_UNITS: Final = 5_000
_SPREAD_UNITS: Final = 500
_TARGETS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)


@dataclass(frozen=True)
class ArenaTask:
    """What execution agents are told to do: a parent order, drawn anew for each episode.

    Attributes:
        side: "random", "buy" or "sell".
        lots: of the parent order; None takes half of the agent's position limit.
        steps: until its deadline; None takes `max_cycles`.
    """

    side: str = "random"
    lots: int | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.side not in ("random", "buy", "sell"):
            raise ParamsError(f"a task's side must be 'random', 'buy' or 'sell', got {self.side!r}")
        if self.lots is not None:
            whole("a task's lots", self.lots, 1, 1 << 36, ParamsError)
        if self.steps is not None:
            whole("a task's steps", self.steps, 1, _CYCLES_MAX, ParamsError)

    def lots_of(self, spec: DeskSpec) -> int:
        """Lots of the parent order of an agent with this desk."""
        lots = max(1, spec.position_lots_max // 2) if self.lots is None else self.lots
        if lots > spec.position_lots_max:
            raise ParamsError(
                f"a task of {lots} lots exceeds the position limit of {spec.position_lots_max}: order less, or make "
                "the arena with spec={'execution': {'position_lots_max': ...}}"
            )
        return lots


@dataclass(frozen=True)
class ArenaConfig:
    """An arena.

    Attributes:
        agents: how many of each role, of `ROLES`; they are called maker_0, maker_1, ...
        max_cycles: steps of an episode.
        market: the crowd and the calendar behind the agents, a scenario (docs/scenarios.md); its tape is not used.
        interval_ns: time between two decisions, of all agents.
        warmup_ns: how long the crowd trades alone before an episode.
        params: latencies, fees and rules for all agents; None takes the scenario's.
        vary: what differs from agent to agent, of `Exchange.vary`: {"entry_ns": {"maker_0": 100_000}}.
        spec: fields of the `DeskSpec` that differ from the role's: {"maker": {"order_lots": 10}}.
        reward: by role, where it is not the role's own.
        capital: quote units that an agent may lose before it is bankrupt, by role or for all; None takes the value of
            its position limit.
        task: parent orders of execution agents.
        exchange: further arguments of the `Exchange`.

    Raises:
        ParamsError, ScenarioError: an argument that makes no sense.
    """

    agents: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_AGENTS))
    max_cycles: int = 1000
    market: str = "synth:volatile"
    interval_ns: int = 500_000_000
    warmup_ns: int = 1_000_000_000
    params: SimParams | None = None
    vary: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reward: Mapping[str, ArenaReward] = field(default_factory=dict)
    capital: float | Mapping[str, float] | None = None
    task: ArenaTask = field(default_factory=ArenaTask)
    exchange: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        whole("max_cycles", self.max_cycles, 1, _CYCLES_MAX, ParamsError)
        whole("interval_ns", self.interval_ns, 1, _INTERVAL_NS_MAX, ParamsError)
        whole("warmup_ns", self.warmup_ns, 0, _WARMUP_NS_MAX, ParamsError)
        for name in ("agents", "vary", "spec", "reward", "exchange"):
            if not isinstance(getattr(self, name), Mapping):
                raise ParamsError(f"{name} must be a dict, got {getattr(self, name)!r}")
        for name in ("spec", "reward", "agents"):
            _known_roles(name, getattr(self, name))
        for role, count in self.agents.items():
            whole(f"number of agents of role {role!r}", count, 0, AGENTS_MAX, ParamsError)
        if not 1 <= len(self.names) <= AGENTS_MAX:
            raise ParamsError(f"an arena needs 1 to {AGENTS_MAX} agents, got {len(self.names)}: {dict(self.agents)}")
        for role, reward in self.reward.items():
            if not isinstance(reward, ArenaReward):
                raise ParamsError(f"the reward of role {role!r} must be an ArenaReward, got {reward!r}")
        if not isinstance(self.task, ArenaTask):
            raise ParamsError(f"task must be an ArenaTask, got {self.task!r}")
        for member, spec in zip(self.roles, self.specs, strict=True):
            if member.kind == "execution":
                self.task.lots_of(spec)

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """The role of each agent."""
        return tuple(ROLES[name.rpartition("_")[0]] for name in self.names)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The agents, in the order of their numbers as members of the exchange."""
        return tuple(f"{role}_{k}" for role in ROLES for k in range(self.agents.get(role, 0)))

    @cached_property
    def rules(self) -> SimParams:
        """Latencies, fees and rules."""
        if self.params is not None:
            return self.params
        return scenario_params(self.market).replace(max_responses=_RESPONSES)

    @property
    def start_tick(self) -> int:
        """The first price."""
        return int(self._exchange_arguments["start_tick"])

    @cached_property
    def _exchange_arguments(self) -> dict[str, Any]:
        name = read_name(self.market)
        plan = SCENARIOS[name.scenario].plan(name)
        made: dict[str, Any] = {
            "instrument": SYNTH, "flow": plan.flow, "params": self.rules, "start_tick": _START_TICK,
            "schedule": [(START_NS + ns, what, a, b) for ns, what, a, b in plan.schedule], **_EXCHANGE,
        }  # fmt: skip
        wrong = sorted({"members", "seed"} & set(self.exchange))
        if wrong:
            raise ParamsError(f"the exchange's {wrong[0]} follow from the agents and the seed of a reset: leave it out")
        return made | plan.exchange | dict(self.exchange)

    def make_exchange(self) -> Exchange:
        """A fresh exchange for these agents."""
        made = Exchange(members=len(self.names), **self._exchange_arguments)
        for name, values in self.vary.items():
            default = getattr(self.rules, name, None)
            if name.endswith("_fee_ppb") and default is None:
                default = getattr(made.instrument, name)
            made.vary(**{name: np.array(self._by_agent(name, values, default))})
        return made

    def _by_agent(self, what: str, values: Any, default: Any) -> list[Any]:
        """One value an agent, of a value for all or a dict by agent or role."""
        if not isinstance(values, Mapping):
            return [values] * len(self.names)
        known = {*self.names, *(role.name for role in self.roles)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ParamsError(f"{what}: no agent {unknown[0]!r} here; there are {', '.join(self.names)}")
        pairs = zip(self.names, self.roles, strict=True)
        return [values.get(name, values.get(role.name, default)) for name, role in pairs]

    @cached_property
    def specs(self) -> tuple[DeskSpec, ...]:
        """The desk of each agent. Their observation columns are not used: an arena has its own."""
        instrument = self._exchange_arguments["instrument"]
        made = {role.name: self._spec_of(role, instrument, dict(self.spec.get(role.name, {}))) for role in self.roles}
        return tuple(made[role.name] for role in self.roles)

    def _spec_of(self, role: Role, instrument: Instrument, changes: dict[str, Any]) -> DeskSpec:
        unknown = sorted(set(changes) - set(DeskSpec.__dataclass_fields__))
        fixed = sorted({"kind", "interval_ns", "layout", "params", "pace", "pace_min_ns"} & set(changes))
        if unknown or fixed:
            raise ParamsError(f"spec[{role.name!r}] has no field {(unknown + fixed)[0]!r} that an arena's desk may set")
        mid2 = 2 * self.start_tick
        econ = economics_of(instrument)
        unit = price_unit_ticks(mid2 // 2)
        lot_worth = abs(int(mark_value(econ, 1_000_000, mid2))) * instrument.money_unit / 1_000_000
        order_lots = changes.get("order_lots", max(1, int(_ORDER_NOTIONAL / lot_worth)))
        position = changes.get("position_lots_max", _POSITION_ORDERS * order_lots)
        worth = abs(int(mark_value(econ, position, mid2)))
        defaults: dict[str, Any] = {
            "kind": role.kind,
            "interval_ns": self.interval_ns,
            "position_lots_max": position,
            "order_lots": order_lots,
            "spacing_ticks": tuple(unit * multiple for multiple in SPACING_MULTIPLES),
            "targets": _TARGETS,
            "sweep_ticks": _SWEEP_UNITS * unit,
            "offset_ticks": tuple(unit * multiple for multiple in OFFSET_MULTIPLES),
            "lean_ticks": _LEAN_UNITS * unit,
            "behind_ticks": tuple(unit * multiple for multiple in _BEHIND_UNITS),
            "pace": "interval",
            "pace_min_ns": 1_000_000,
            "layout": ObservationLayout(TARGET_COLUMNS),
            "params": self.rules,
            "risk": RiskLimits(
                position_lots_max=position,
                order_lots_max=2 * position,
                notional_max=min(4 * worth + 1, MONEY_MAX // 2),
                price_band_ticks_max=_BAND_UNITS * unit,
                spread_ticks_max=_SPREAD_UNITS * unit,
                open_orders_max=min(48, self.rules.max_orders),
            ),
        }
        return DeskSpec(**(defaults | changes))

    @property
    def rewards(self) -> list[ArenaReward]:
        """The reward of each agent."""
        return [self.reward.get(role.name, role.reward) for role in self.roles]

    def capital_units(self, instrument: Instrument) -> list[int]:
        """Money units that each agent may lose."""
        econ = economics_of(instrument)
        limits = [abs(int(mark_value(econ, spec.position_lots_max, 2 * self.start_tick))) for spec in self.specs]
        given = self._by_agent("capital", self.capital, None)
        return [_units(instrument, one) if one is not None else limit for one, limit in zip(given, limits, strict=True)]


def _units(instrument: Instrument, capital: Any) -> int:
    try:
        units = int(Decimal(str(capital)) / instrument.money_unit)
    except (ArithmeticError, ValueError):  # no number, NaN, infinite
        units = 0
    if units < 1:
        raise ParamsError(f"capital must be a positive amount of the quote currency, got {capital!r}")
    return units


def _known_roles(what: str, given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in ROLES:
            raise ParamsError(f"{what}: unknown role {name!r}; known: {', '.join(ROLES)}")
