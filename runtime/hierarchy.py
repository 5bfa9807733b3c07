"""A policy of several agents under a router, served as one network: who acts is arithmetic on small integers.

The network gives, for one observation, the router's value of every choice and every agent's value of every action, in
one row. What is left is exact: every `macro_steps` decisions the largest of the router's values is the choice; choice
and position name the agent; the largest of its values is the action, at each decision until the next choice. All
agents are evaluated each time, so that a decision takes the same work whoever acts.

The clock counts decisions. Where the guard turns away the decision at which a choice was due, the choice is made at the
first one after it that is let through; the clock does not move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.runtime.errors import BundleError
from lobgym.runtime.manifest import Hierarchy
from lobgym.sim.actions import TARGET
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["NOBODY", "HierarchyReader", "MacroClock", "Reading"]

INVENTORY: Final = "inventory"  # the column whose value is position / position limit, as the lane knows it
NOBODY: Final = -1  # in place of a choice and an agent where the guard acted
MACRO_STEPS_MAX: Final = 1 << 20
AGENTS_MAX: Final = 256


class Reading(NamedTuple):
    """What a row of values says: the action's code, and on whose behalf. `margin` in units of the values."""

    code: int
    choice: int
    agent: int
    margin: float


@dataclass
class MacroClock:
    """What a run of a hierarchy remembers between two decisions. A new one for every run.

    Attributes:
        macro_steps: decisions from one choice to the next.
        decisions: counted so far.
        due: whether the next decision that the guard lets through begins with a choice.
        choice, agent: that hold; NOBODY before the first.
    """

    macro_steps: int
    decisions: int = 0
    due: bool = True
    choice: int = NOBODY
    agent: int = NOBODY

    def tick(self) -> None:
        """Count a decision; every `macro_steps` of them a choice falls due, at the first one too."""
        self.due = self.due or self.decisions % self.macro_steps == 0
        self.decisions += 1


class HierarchyReader:
    """Reads the network's row for one desk.

    Raises:
        BundleError: a hierarchy that contradicts itself or the desk.
    """

    def __init__(self, plan: Hierarchy, spec: DeskSpec) -> None:
        _check(plan, spec)
        self.macro_steps = plan.macro_steps
        self.choices = len(plan.members[0])
        self.agents = len(plan.agents)
        self.actions = spec.action.bins[0]
        self._members = np.array(plan.members, np.int64)
        self._positions = np.array(plan.positions, np.float64)
        self._nearest = plan.rounding == "nearest"
        self._inventory = spec.layout.columns.index(INVENTORY)

    @property
    def outputs(self) -> int:
        """Width of the network's row: a value for each choice, then the actions' values of agent 0, 1, ..."""
        return self.choices + self.agents * self.actions

    def row_of(self, observation: NDArray[np.float32]) -> int:
        """The row of `members` that belongs to an observation's position.

        That is the nearest of the positions, the first of two equally near ones; or, rounding down, the last one that
        is not above it (as float32), the first where all are.
        """
        held = observation[self._inventory]
        if self._nearest:
            return int(np.argmin(np.abs(self._positions - np.float64(held))))
        return max(0, int(np.searchsorted(self._positions.astype(np.float32), held, side="right")) - 1)

    def read(
        self, raw: NDArray[np.float32], observation: NDArray[np.float32], clock: MacroClock | None = None
    ) -> Reading:
        """The decision of a finite row float32[outputs] for an observation float32[D].

        Args:
            clock: a choice is made where it is due there, and noted; without a clock one is made in any case.

        The margin is the difference of the two largest values of the acting agent, or of the router where it chose and
        was nearer to another choice.
        """
        margin = np.inf
        if clock is None or clock.due:
            choice, margin = _best(raw[: self.choices])
            agent = int(self._members[self.row_of(observation), choice])
            if clock is not None:
                clock.due, clock.choice, clock.agent = False, choice, agent
        else:
            choice, agent = clock.choice, clock.agent
        begin = self.choices + agent * self.actions
        code, distance = _best(raw[begin : begin + self.actions])
        return Reading(code, choice, agent, min(margin, distance))


def _best(values: NDArray[np.float32]) -> tuple[int, float]:
    """Place of the largest value, the first of equals, and how far it is above the second largest."""
    best = int(np.argmax(values))
    if len(values) == 1:
        return best, np.inf
    second, first = np.partition(values.astype(np.float64), -2)[-2:]
    return best, float(first - second)


def _check(plan: Hierarchy, spec: DeskSpec) -> None:
    def require(holds: bool, what: str) -> None:
        if not holds:
            raise BundleError(f"the manifest's hierarchy {what}; export the policy again")

    require(spec.kind == TARGET, f"needs a desk of kind {TARGET!r}, this one is of kind {spec.kind!r}")
    require(INVENTORY in spec.layout.columns, f"needs the column {INVENTORY!r}, by which a member is found")
    require(1 <= plan.macro_steps <= MACRO_STEPS_MAX, f"has {plan.macro_steps} steps between choices")
    require(plan.rounding in ("nearest", "down"), f"rounds positions {plan.rounding!r}, known are nearest and down")
    rising = all(one < other for one, other in zip(plan.positions, plan.positions[1:], strict=False))
    bounded = all(-1.0 <= position <= 1.0 for position in plan.positions)
    require(bool(plan.positions) and rising and bounded, f"has positions {plan.positions}, not rising within [-1, 1]")
    require(1 <= len(plan.agents) <= AGENTS_MAX, f"has {len(plan.agents)} agents, not 1 to {AGENTS_MAX}")
    widths = {len(row) for row in plan.members}
    even = len(plan.members) == len(plan.positions) and len(widths) == 1 and min(widths) >= 1
    require(even, "needs one row of members for each position, all of one length")
    named = {agent for row in plan.members for agent in row}
    require(named <= set(range(len(plan.agents))), f"names agents {sorted(named)} of {len(plan.agents)}")
