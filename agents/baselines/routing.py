"""The router written by hand: a regime decides which profile acts, how large and how near it may quote.

Above, on `lobgym/Router-v0`, `RegimeRouter` chooses among the profiles of `regime_pool`; below, `RegimePolicy` is both
at once, on a desk, with sizes that grow with the confidence. Both drive a `RegimeFSM`, whose log says when and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.baselines.arrays import NUMPY
from lobgym.agents.baselines.regimes import AXES, Axis, RegimeFSM
from lobgym.agents.baselines.rule import Column
from lobgym.agents.errors import PolicyError
from lobgym.envs.pool import CodeProfile, Pool
from lobgym.sim.actions import EXECUTION, GRID, SKEW_ZERO, TARGET
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.observation import ObservationLayout

__all__ = [
    "PROFILES",
    "RegimePolicy",
    "RegimeProfile",
    "RegimeReader",
    "RegimeRouter",
    "profile_codes",
    "profile_of",
    "regime_pool",
]

_NEAR_BPS: Final = 4.8
_FAR_BPS: Final = 12.8
_LEVELS_CODE: Final = 1  # two levels
_SKEW_CODES: Final = 2  # half a spacing
_STEPS_MAX: Final = 1 << 20


@dataclass(frozen=True)
class RegimeProfile:
    """What a regime permits.

    Attributes:
        name: in the pool.
        making: quotes on a desk that quotes; where False it stands aside there.
        direction: -1, 0 or 1: where quotes lean to; a target desk takes it.
        size_low, size_high: codes of the size, the band that confidence moves in.
        aggressiveness: 0 to 1: how near it quotes, or how much of the limit it takes.
    """

    name: str
    making: bool
    direction: int
    size_low: int
    size_high: int
    aggressiveness: float


PROFILES: Final = (
    RegimeProfile("stand-aside", False, 0, 0, 0, 0.0),
    RegimeProfile("tight", True, 0, 0, 2, 1.0),
    RegimeProfile("wide", True, 0, 0, 1, 0.0),
    RegimeProfile("with-rise", True, 1, 0, 1, 0.5),
    RegimeProfile("with-fall", True, -1, 0, 1, 0.5),
)
_ASIDE, _TIGHT, _WIDE, _RISE, _FALL = range(len(PROFILES))


def profile_of(regime: int) -> int:
    """Index of the profile of a regime (`lobgym.agents.baselines.regimes`).

    Wild and thin at once: nothing. Else a trend is gone with, unless the market is wild; what has none is quoted
    tightly where it is calm or normal and not thin, and widely otherwise.
    """
    volatility, liquidity, trend = regime // 9, regime // 3 % 3, regime % 3
    if volatility == 2 and liquidity == 2:
        return _ASIDE
    if trend != 1 and volatility < 2:
        return _RISE if trend == 2 else _FALL
    return _TIGHT if volatility < 2 and liquidity < 2 else _WIDE


_PROFILE_OF: Final = np.array([profile_of(regime) for regime in range(27)], np.int64)


def profile_codes(spec: DeskSpec, mid_ticks: float, profile: RegimeProfile, size: int) -> tuple[int, ...]:
    """The desk's codes of a profile at a size code.

    Raises:
        PolicyError: a desk that works parent orders, which no profile knows.
    """
    if spec.kind == EXECUTION:
        raise PolicyError("regimes choose among makers and takers: there is no profile for desks of kind 'execution'")
    if spec.kind == TARGET:
        wanted = profile.direction * profile.aggressiveness
        return (int(np.argmin(np.abs(np.asarray(spec.targets) - wanted))),)
    if not profile.making:
        return spec.idle_codes
    ticks = (_FAR_BPS + (_NEAR_BPS - _FAR_BPS) * profile.aggressiveness) * 1e-4 * mid_ticks
    if spec.kind == GRID:
        spacing = int(np.argmin(np.abs(np.asarray(spec.spacing_ticks) - ticks)))
        return (spacing, _LEVELS_CODE, SKEW_ZERO + _SKEW_CODES * profile.direction, size, 0)
    # Of a maker the quotes lie half a spacing away; with a direction the side that goes against it twice as far.
    table = np.asarray(spec.offset_ticks)
    near, far = (int(np.argmin(np.abs(table - share * ticks))) for share in (0.5, 1.0))
    bid, ask = (near if profile.direction >= 0 else far), (near if profile.direction <= 0 else far)
    return (bid, ask, size, SKEW_ZERO)


def regime_pool(spec: DeskSpec, mid_ticks: float) -> Pool:
    """The profiles as a pool for `lobgym/Router-v0`, at their smallest size, in the order of `PROFILES`."""
    return Pool(
        tuple(CodeProfile(one.name, profile_codes(spec, mid_ticks, one, one.size_low)) for one in PROFILES)
    )  # fmt: skip


class RegimeReader:
    """Volatility (bps), liquidity (spread, bps) and trend (return over volatility) from observations.

    Args:
        desk: a desk or a layout with a spread, a volatility or NATR, and a return of 30 s or 60 s.

    Raises:
        PolicyError: a column is missing.
    """

    def __init__(self, desk: DeskSpec | ObservationLayout) -> None:
        self.volatility = Column(desk, "natr_60", "natr_14", "volatility_60s")
        self.spread = Column(desk, "spread")
        self.trend = Column(desk, "return_60s", "return_30s")

    def read(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64[N, 3], in the order of `AXES`."""
        rows = np.asarray(observations, np.float64)
        volatility = self.volatility.size(rows, NUMPY)
        trend = self.trend.signed(rows, NUMPY) / np.maximum(volatility, 1e-3)
        values: NDArray[np.float64] = np.concatenate([volatility, self.spread.size(rows, NUMPY), trend], axis=1)
        assert values.shape[1] == len(AXES)
        return values


class RegimeRouter:
    """A `Policy` for `lobgym/Router-v0` over `regime_pool`: the profile of the lane's regime, each macro step.

    Args:
        layout: the router's own, without the columns of the profiles that follow it.
        axes, dwell: see `RegimeFSM`; its steps are macro steps.

    Attributes:
        fsm: the regimes, and their log.
    """

    name = "regime-router"

    def __init__(self, layout: ObservationLayout, axes: tuple[Axis, Axis, Axis], dwell: int = 1) -> None:
        self._reader = RegimeReader(layout)
        self.fsm = RegimeFSM(axes, dwell)

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Forget the regimes and the log."""
        self.fsm.reset(lanes)

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """float32[N, D + P] -> int64[N] choices."""
        chosen: NDArray[np.int64] = _PROFILE_OF[self.fsm.step(self._reader.read(observations))]
        return chosen


class RegimePolicy:
    """Router and profiles in one, on a desk of any kind but execution.

    Args:
        mid_ticks: price level at which bps are turned into ticks.
        axes, dwell: see `RegimeFSM`.
        macro_steps: decisions between two looks at the regime; in between the profile stays.

    Attributes:
        fsm: the regimes, and their log; its steps are macro steps.
    """

    name = "regime-router"

    def __init__(
        self,
        spec: DeskSpec,
        mid_ticks: float,
        axes: tuple[Axis, Axis, Axis],
        dwell: int = 2,
        macro_steps: int = 20,
    ) -> None:
        if isinstance(macro_steps, bool) or not isinstance(macro_steps, int) or not 1 <= macro_steps <= _STEPS_MAX:
            raise PolicyError(f"{self.name}: macro_steps must be an integer from 1 to {_STEPS_MAX}, got {macro_steps}")
        self._spec = spec
        self._reader = RegimeReader(spec)
        self._macro_steps = macro_steps
        self.fsm = RegimeFSM(axes, dwell)
        # One row of codes for each profile and size of its band; where sizes are not chosen, all are the same.
        self._first = np.cumsum([0] + [one.size_high - one.size_low + 1 for one in PROFILES])[:-1]
        self._band = np.array([one.size_high - one.size_low for one in PROFILES], np.int64)
        self._codes = np.array(
            [
                profile_codes(spec, mid_ticks, one, size)
                for one in PROFILES
                for size in range(one.size_low, one.size_high + 1)
            ],
            np.int32,
        )
        self.reset(0)

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Forget the regimes and the log."""
        self.fsm.reset(lanes)
        self._step = 0
        self._held = np.zeros((lanes, self._codes.shape[1]), np.int32)

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`."""
        if self._step % self._macro_steps == 0:
            profiles = _PROFILE_OF[self.fsm.step(self._reader.read(observations))]
            # floor of the share of the band, so that its upper end takes full confidence
            grown = (self.fsm.confidence * self._band[profiles]).astype(np.int64)
            self._held = self._codes[self._first[profiles] + grown]
        self._step += 1
        return self._spec.action.encode(self._held)
