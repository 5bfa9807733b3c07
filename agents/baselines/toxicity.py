"""The toxicity throttle: a policy that is slowed, or stopped, where the flow is likely to be informed.

Four signals, each with two thresholds: VPIN, the spread (a shock), the age of the book (stale), and the imbalance of
the best five levels. The level of a row is the worst of them: 0 free, 1 slowed, 2 stopped.

| desk   | slowed                                                          | stopped                                |
|--------|------------------------------------------------------------------|----------------------------------------|
| grid   | one level of the smallest size, two spacings wider in the table | quotes withdrawn                       |
| maker  | the smallest size, two offsets further in the table             | quotes withdrawn                       |
| target | only what makes the position smaller                            | the target nearest to what is held     |

Nothing is closed because the market is toxic: what is held stays, or is worked off by the policy itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.baselines.arrays import NUMPY, Array, Ops, Steps, at_least, nearest_of
from lobgym.agents.baselines.rule import Column, ObservationRule
from lobgym.agents.errors import PolicyError
from lobgym.agents.policy import Policy
from lobgym.sim.actions import EXECUTION, GRID, GRID_BINS, MAKER, NO_QUOTE, OFFSETS, PAUSED
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["TOXICITY_COLUMNS", "Throttle", "ThrottledRule", "ToxicityLimits", "throttle"]

TOXICITY_COLUMNS: Final = ("vpin", "spread", "book_age", "imbalance_5")
_WIDER: Final = 2  # entries of the desk's table


@dataclass(frozen=True)
class ToxicityLimits:
    """Pairs (slowed from, stopped from), both included.

    Attributes:
        vpin: in [0, 1]. spread_bps: of the mid. age_s: of the book, seconds. imbalance: |(bid - ask) / (bid + ask)| of
            the best five levels.

    Raises:
        PolicyError: a pair that does not ascend, or is not positive.
    """

    vpin: tuple[float, float] = (0.5, 0.7)
    spread_bps: tuple[float, float] = (4.0, 8.0)
    age_s: tuple[float, float] = (2.0, 5.0)
    imbalance: tuple[float, float] = (0.9, 0.98)

    def __post_init__(self) -> None:
        for name, (slow, stop) in self.pairs.items():
            if not 0.0 < slow <= stop:
                raise PolicyError(f"toxicity limit {name} needs 0 < slowed <= stopped, got {slow}, {stop}")

    @property
    def pairs(self) -> dict[str, tuple[float, float]]:
        """The four pairs by name, in the order of `TOXICITY_COLUMNS`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


class _Filter:
    """Levels of observations, and what they do to codes."""

    def __init__(self, spec: DeskSpec, limits: ToxicityLimits) -> None:
        if spec.kind == EXECUTION:
            raise PolicyError("a parent order has a deadline: desks of kind 'execution' are not throttled")
        self._kind = spec.kind
        self._columns = [Column(spec, name) for name in TOXICITY_COLUMNS]
        self._steps = [Steps([at_least(slow), at_least(stop)], [0.0, 1.0, 2.0]) for slow, stop in limits.pairs.values()]
        if spec.kind not in (GRID, MAKER):
            self._held = Column(spec, "inventory")
            self._nearest = nearest_of(spec.targets)
            self._target = Steps(np.arange(len(spec.targets) - 1) + 0.5, spec.targets)
        self._idle = [float(code) for code in spec.idle_codes]

    def level(self, rows: Array, ops: Ops) -> Array:
        """0.0, 1.0 or 2.0 a row, [N, 1]."""
        vpin, spread, age, imbalance = self._columns
        values = (
            vpin.raw(rows),
            spread.size(rows, ops),
            age.size(rows, ops),
            ops.absolute(imbalance.raw(rows)),
        )
        worst = ops.steps(values[0], self._steps[0])
        for value, steps in zip(values[1:], self._steps[1:], strict=True):
            worst = ops.maximum(worst, ops.steps(value, steps))
        return worst

    def apply(self, codes: Array, level: Array, rows: Array, ops: Ops) -> Array:
        """The codes [N, A] that are left."""
        slowed, stopped = ops.over(level, 0.5), ops.over(level, 1.5)
        columns = [codes[:, place : place + 1] for place in range(len(self._idle))]
        zero = 0.0 * level
        if self._kind == GRID:
            spacing, _, skew, _, pause = columns
            wider = ops.minimum(spacing + _WIDER, float(GRID_BINS[0] - 1))
            slow = ops.join([wider, zero, skew, zero, pause])
            return ops.pick(
                stopped, ops.join([spacing, zero, skew, zero, zero + PAUSED]), ops.pick(slowed, slow, codes)
            )
        if self._kind == MAKER:
            bid, ask, _, lean = columns
            slow = ops.join([self._further(bid, ops), self._further(ask, ops), zero, lean])
            return ops.pick(stopped, ops.join([zero + code for code in self._idle]), ops.pick(slowed, slow, codes))
        held = ops.steps(self._held.raw(rows), self._nearest)
        has, wants = ops.steps(held, self._target), ops.steps(columns[0], self._target)
        smaller = (1.0 - ops.over(ops.absolute(wants), ops.absolute(has))) * (1.0 - ops.over(0.0, wants * has))
        return ops.pick(stopped, held, ops.pick(slowed, ops.pick(smaller, columns[0], held), columns[0]))

    def _further(self, offset: Array, ops: Ops) -> Array:
        """An offset code further out; a side without a quote stays without."""
        moved = ops.minimum(offset + _WIDER, float(OFFSETS - 1))
        return ops.pick(ops.over(offset, NO_QUOTE - 0.5), offset, moved)


class ThrottledRule(ObservationRule):
    """The throttle on a rule without memory, itself one, so that it leaves as one ONNX graph."""

    def __init__(self, rule: ObservationRule, limits: ToxicityLimits) -> None:
        super().__init__(rule.spec)
        self.name = f"{rule.name}-throttled"
        self._rule = rule
        self._filter = _Filter(rule.spec, limits)

    def level(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """int64[N]: 0 free, 1 slowed, 2 stopped."""
        levels = self._filter.level(np.asarray(observations, np.float64), NUMPY)
        found: NDArray[np.int64] = levels[:, 0].astype(np.int64)
        return found

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        return self._filter.apply(self._rule.codes(rows, ops), self._filter.level(rows, ops), rows, ops)


class Throttle:
    """The throttle on any policy, with memory or trained.

    Args:
        spec: the policy's desk, whose layout has `TOXICITY_COLUMNS` (a target desk's also `inventory`).

    Attributes:
        counts: int64[3], rows at each level since the last reset.
    """

    def __init__(self, policy: Policy, spec: DeskSpec, limits: ToxicityLimits) -> None:
        self.name = f"{policy.name}-throttled"
        self._policy = policy
        self._spec = spec
        self._filter = _Filter(spec, limits)
        self.counts = np.zeros(3, np.int64)

    def reset(self, lanes: int, seed: int = 0) -> None:
        """See `Policy.reset`."""
        self._policy.reset(lanes, seed)
        self.counts = np.zeros(3, np.int64)

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`. A continuous action that is free passes as it is."""
        actions = self._policy.act(observations)
        rows = np.asarray(observations, np.float64)
        level = self._filter.level(rows, NUMPY)
        self.counts += np.bincount(level[:, 0].astype(np.int64), minlength=3)
        if not level.any():
            return actions
        codes = self._spec.action.decode(actions).astype(np.float64)
        left = self._spec.action.encode(self._filter.apply(codes, level, rows, NUMPY).astype(np.int32))
        free = level[:, 0] < 0.5
        kept: NDArray[Any] = np.where(free[:, None] if left.ndim == 2 else free, actions.reshape(left.shape), left)
        return kept.astype(left.dtype)


def throttle(policy: Policy, spec: DeskSpec, limits: ToxicityLimits | None = None) -> Policy:
    """`policy` under the throttle: a `ThrottledRule` where it is a function of the observation, else a `Throttle`.

    Raises:
        PolicyError: a column is missing, or a desk that works parent orders.
    """
    chosen = ToxicityLimits() if limits is None else limits
    return ThrottledRule(policy, chosen) if isinstance(policy, ObservationRule) else Throttle(policy, spec, chosen)
