"""What needs no market: doing nothing, holding one side, drawing codes, walking into a position."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.baselines.arrays import Array, Ops, at_least, nearest_of
from lobgym.agents.baselines.rule import Column, ObservationRule
from lobgym.agents.columns import require_kind
from lobgym.agents.errors import PolicyError
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.jit import njit
from lobgym.sim.rng import below

__all__ = ["AlwaysLong", "AlwaysShort", "BuyAndHold", "Flat", "RandomCodes", "RandomHeld", "TwapInto", "redraw_ppm"]

RANDOM_STREAM: Final = 0x706F6C69  # "poli": keeps these draws apart from every other use of a lane's seed
REDRAW_STREAM: Final = 0x64726177  # "draw": whether a lane draws anew
_PPM: Final = 1_000_000
_STEPS_MAX: Final = 1 << 40


class Flat(ObservationRule):
    """Does nothing: no quotes, no position. Whatever it earns or loses is a fault of the market."""

    name = "flat"

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        return self.constant(rows, ops, self.spec.idle_codes)


class AlwaysLong(ObservationRule):
    """Asks for the largest target position at every step: the market's own return, less the fee of getting in."""

    name = "always-long"

    def __init__(self, spec: DeskSpec) -> None:
        super().__init__(spec)
        require_kind(spec, "target", self.name)
        self._code = int(np.argmax(np.asarray(spec.targets)))

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        return self.constant(rows, ops, [self._code])


class AlwaysShort(ObservationRule):
    """Asks for the smallest target position at every step; where a desk may not be short, that is none."""

    name = "always-short"

    def __init__(self, spec: DeskSpec) -> None:
        super().__init__(spec)
        require_kind(spec, "target", self.name)
        self._code = int(np.argmin(np.asarray(spec.targets)))

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        return self.constant(rows, ops, [self._code])


class BuyAndHold(ObservationRule):
    """Buys the largest target while it holds less than half of it, and then keeps what it got.

    Unlike `AlwaysLong` it does not trade to correct a position that came out smaller than wanted: it asks for the
    target nearest to what it holds.
    """

    name = "buy-and-hold"

    def __init__(self, spec: DeskSpec) -> None:
        super().__init__(spec)
        require_kind(spec, "target", self.name)
        self._inventory = Column(spec, "inventory")
        self._nearest = nearest_of(spec.targets)
        self._code = float(np.argmax(np.asarray(spec.targets)))
        self._enough = at_least(max(spec.targets) / 2.0)

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        held = self._inventory.raw(rows)
        enough = ops.over(held, self._enough)
        return ops.pick(enough, ops.steps(held, self._nearest), self.constant(rows, ops, [int(self._code)]))


class RandomCodes:
    """Every code of every dimension equally likely, drawn by (lane seed, step)."""

    name = "random"

    def __init__(self, spec: DeskSpec) -> None:
        self._spec = spec
        self._bins = np.asarray(spec.action.bins, np.int64)
        self.reset(0)

    def reset(self, lanes: int, seed: int = 0) -> None:
        """See `Policy.reset`."""
        self._seed = seed
        self._step = 0

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`."""
        codes = np.empty((len(observations), len(self._bins)), np.int32)
        _draw_codes(self._seed, self._step, self._bins, codes)
        self._step += 1
        return self._spec.action.encode(codes)


class RandomHeld:
    """Draws codes as `RandomCodes` does and keeps them: a lane draws anew with one probability at each step.

    So its turnover can be matched to another policy's (`redraw_ppm`): what it then earns is what trading as much
    without looking earns.

    Args:
        redraw_ppm: that probability in parts per million, 1 to 1,000,000; the first step always draws.
    """

    name = "random-matched"

    def __init__(self, spec: DeskSpec, redraw_ppm: int) -> None:
        if isinstance(redraw_ppm, bool) or not isinstance(redraw_ppm, int) or not 1 <= redraw_ppm <= _PPM:
            raise PolicyError(f"{self.name}: redraw_ppm must be an integer from 1 to {_PPM}, got {redraw_ppm!r}")
        self._spec = spec
        self._redraw_ppm = redraw_ppm
        self._bins = np.asarray(spec.action.bins, np.int64)
        self.reset(0)

    def reset(self, lanes: int, seed: int = 0) -> None:
        """See `Policy.reset`."""
        self._seed = seed
        self._step = 0
        self._held = np.zeros((lanes, len(self._bins)), np.int32)

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`."""
        if len(observations) != len(self._held):
            raise PolicyError(
                f"{self.name} was reset for {len(self._held)} lanes and got {len(observations)} observations"
            )
        _redraw(self._seed, self._step, self._redraw_ppm, self._bins, self._held)
        self._step += 1
        return self._spec.action.encode(self._held)


def redraw_ppm(spec: DeskSpec, turnover: float) -> int:
    """`RandomHeld`'s probability, in parts per million, that gives a target desk a mean turnover per step.

    Two independent draws among T equally likely targets x differ by m = sum_ij |x_i - x_j| / T^2 on average, so
    turnover / m of all steps have to draw.

    Args:
        turnover: |change of position| / position limit, the mean over steps; 0 gives the least that there is.

    Raises:
        PolicyError: more turnover than drawing at every step has, or a desk of another kind.
    """
    require_kind(spec, "target", RandomHeld.name)
    targets = [Fraction(x) for x in spec.targets]
    mean = sum((abs(a - b) for a in targets for b in targets), Fraction(0)) / len(targets) ** 2
    if not 0.0 <= turnover <= float(mean):
        raise PolicyError(
            f"a turnover of {turnover:g} position limits a step cannot be matched: drawing at every step has "
            f"{float(mean):g}"
        )
    return max(1, int(Fraction(turnover) / mean * _PPM))


class TwapInto:
    """Walks into one target position in even steps and stays: what entering slowly costs.

    Args:
        spec: a target desk; of its targets the largest that the schedule has reached is taken, towards `target`.
        target: a fraction of the position limit; the desk's largest by default.
        steps: how long the walk takes.
    """

    name = "twap-into"

    def __init__(self, spec: DeskSpec, target: float | None = None, steps: int = 120) -> None:
        require_kind(spec, "target", self.name)
        if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= _STEPS_MAX:
            raise PolicyError(f"{self.name}: steps must be an integer from 1 to {_STEPS_MAX}, got {steps!r}")
        wanted = max(spec.targets) if target is None else target
        if wanted not in spec.targets or wanted == 0.0:
            raise PolicyError(f"{self.name}: the target must be one of {spec.targets} and not 0, got {target!r}")
        self._spec = spec
        self._steps = steps
        # Targets between flat and the wanted one, in the order in which the walk meets them.
        way = sorted((x for x in spec.targets if x * wanted > 0.0 and abs(x) <= abs(wanted)), key=abs)
        self._codes = [spec.idle_codes[0], *(spec.targets.index(x) for x in way)]
        self._due = [-(-(Fraction(x) / Fraction(wanted) * steps) // 1) for x in way]  # ceil: steps done by then
        self.reset(0)

    def reset(self, lanes: int, seed: int = 0) -> None:
        """See `Policy.reset`."""
        self._step = 0

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`."""
        self._step = min(self._step + 1, self._steps)
        code = self._codes[sum(self._step >= due for due in self._due)]
        return self._spec.action.encode(np.full((len(observations), 1), code, np.int32))


@njit
def _draw_codes(seed: int, step: int, bins: NDArray[np.int64], codes: NDArray[np.int32]) -> None:
    """Fill codes[N, A] for lanes with seeds seed, seed + 1, ...; counters never repeat within a lane."""
    for i in range(codes.shape[0]):
        for j in range(codes.shape[1]):
            codes[i, j] = below(seed + i, RANDOM_STREAM, step * len(bins) + j, bins[j])


@njit
def _redraw(seed: int, step: int, ppm: int, bins: NDArray[np.int64], codes: NDArray[np.int32]) -> None:
    """Fill the rows of codes[N, A] whose lanes draw anew at this step, with what `_draw_codes` would draw."""
    for i in range(codes.shape[0]):
        if step == 0 or below(seed + i, REDRAW_STREAM, step, 1_000_000) < ppm:
            for j in range(codes.shape[1]):
                codes[i, j] = below(seed + i, RANDOM_STREAM, step * len(bins) + j, bins[j])
