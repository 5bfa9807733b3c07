"""Policies written by hand: what a trained one has to beat. Each reads named columns of the observation only.

| name               | of kind   | does                                                                   |
|--------------------|-----------|------------------------------------------------------------------------|
| flat               | each      | nothing: quotes withdrawn, the target nearest to 0                     |
| random             | each      | every code equally likely                                              |
| always-long        | target    | the largest target                                                     |
| static-grid        | grid      | constant spacing, levels and size, never skewed                        |
| natr-grid          | grid      | spacing follows volatility, skew and size the inventory                |
| fixed-maker        | maker     | constant offsets and size, never skewed                                |
| avellaneda-stoikov | maker     | offsets and skew follow the squared volatility                         |
| twap               | execution | even slices, taken                                                     |
| pov                | execution | slices in proportion to what the market trades, taken                  |
| immediate          | execution | the whole parent at once                                               |

Those that need a kind of their own are in `lobgym.agents.maker_rules` and `lobgym.agents.execution_rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.columns import column_of, require_kind
from lobgym.agents.errors import PolicyError
from lobgym.agents.execution_rules import Immediate, Pov, Twap
from lobgym.agents.maker_rules import AvellanedaStoikov, FixedMaker
from lobgym.agents.policy import Policy
from lobgym.sim.actions import CODE_LEVELS, CODE_SIZE, CODE_SKEW, CODE_SPACING, KINDS, SKEW_ZERO
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.jit import njit
from lobgym.sim.rng import below

__all__ = [
    "BASELINES",
    "AlwaysLong",
    "Flat",
    "NatrGrid",
    "RandomCodes",
    "StaticGrid",
    "available_baselines",
    "make_baseline",
]

RANDOM_STREAM: Final = 0x706F6C69  # "poli": keeps these draws apart from every other use of a lane's seed


class Flat:
    """Does nothing: no quotes, no position. Whatever it earns or loses is a fault of the market."""

    name = "flat"

    def __init__(self, spec: DeskSpec) -> None:
        self._spec = spec

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Nothing to forget."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`."""
        return self._spec.action.encode(np.tile(np.array(self._spec.idle_codes, np.int32), (len(observations), 1)))


class AlwaysLong:
    """Buys the largest target position and holds it: the market's own return, less the fee of getting in."""

    name = "always-long"

    def __init__(self, spec: DeskSpec) -> None:
        require_kind(spec, "target", self.name)
        self._spec = spec

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Nothing to forget."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`."""
        codes = np.full((len(observations), 1), int(np.argmax(np.asarray(self._spec.targets))), np.int32)
        return self._spec.action.encode(codes)


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


class StaticGrid:
    """A grid of constant spacing and size around the mid, whatever the market does (v1.0's grid).

    Args:
        spacing: code of the spacing, i.e. row of `DeskSpec.spacing_ticks`; by default 4.8 bps, the narrowest at which
            a round trip between the innermost quotes covers two maker fees of 2 bps.
        levels: orders a side, 1 to 4.
        size: code of the size: (size + 1) times the desk's order size.
    """

    name = "static-grid"

    def __init__(self, spec: DeskSpec, spacing: int = 10, levels: int = 2, size: int = 0) -> None:
        require_kind(spec, "grid", self.name)
        self._spec = spec
        self._row = np.array([spacing, levels - 1, SKEW_ZERO, size, 0], np.int32)
        spec.action.encode(self._row[None, :])

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Nothing to forget."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`."""
        return self._spec.action.encode(np.tile(self._row, (len(observations), 1)))


class NatrGrid:
    """A grid that breathes with volatility and leans against its inventory (v1.1's NATR, v1.2's dynamic sizing).

    Spacing is `width` times the normalised average true range; the centre moves against the inventory by up to a whole
    spacing; from half the limit on it quotes one level of the smallest size, below that two of twice that size.

    Args:
        mid_ticks: price level at which NATR (bps) is turned into ticks; within a session it moves too little to matter.
        width: spacing in units of NATR.
    """

    name = "natr-grid"

    def __init__(self, spec: DeskSpec, mid_ticks: float, width: float = 4.0) -> None:
        require_kind(spec, "grid", self.name)
        self._spec = spec
        self._natr, self._natr_scale = column_of(spec, "natr_14")
        self._inventory, _ = column_of(spec, "inventory")
        self._spacing = np.asarray(spec.spacing_ticks, np.float64)
        self._ticks_per_bps = mid_ticks * 1e-4 * width

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Nothing to forget."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`."""
        scaled = np.clip(observations[:, self._natr].astype(np.float64), 0.0, 0.999)
        wanted_ticks = self._natr_scale * scaled / (1.0 - scaled) * self._ticks_per_bps
        inventory = np.clip(observations[:, self._inventory].astype(np.float64), -1.0, 1.0)
        room = 1.0 - np.abs(inventory)
        codes = np.zeros((len(observations), self._spec.action.size), np.int32)
        codes[:, CODE_SPACING] = np.argmin(np.abs(self._spacing[None, :] - wanted_ticks[:, None]), axis=1)
        codes[:, CODE_SKEW] = SKEW_ZERO - np.rint(SKEW_ZERO * inventory).astype(np.int32)
        codes[:, CODE_SIZE] = np.floor(1.999 * room).astype(np.int32)
        codes[:, CODE_LEVELS] = np.where(room > 0.5, 1, 0)
        return self._spec.action.encode(codes)


BASELINES: Final[dict[str, Callable[[DeskSpec, float], Policy]]] = {
    "flat": lambda spec, mid: Flat(spec),
    "always-long": lambda spec, mid: AlwaysLong(spec),
    "random": lambda spec, mid: RandomCodes(spec),
    "static-grid": lambda spec, mid: StaticGrid(spec),
    "natr-grid": lambda spec, mid: NatrGrid(spec, mid),
    "fixed-maker": lambda spec, mid: FixedMaker(spec, mid),
    "avellaneda-stoikov": lambda spec, mid: AvellanedaStoikov(spec, mid),
    "twap": lambda spec, mid: Twap(spec),
    "pov": lambda spec, mid: Pov(spec),
    "immediate": lambda spec, mid: Immediate(spec),
}
_KINDS: Final = {
    "always-long": ("target",),
    "static-grid": ("grid",),
    "natr-grid": ("grid",),
    "fixed-maker": ("maker",),
    "avellaneda-stoikov": ("maker",),
    "twap": ("execution",),
    "pov": ("execution",),
    "immediate": ("execution",),
}


def available_baselines(kind: str) -> tuple[str, ...]:
    """Names of the baselines that can act in an environment of this kind, in the order of `BASELINES`."""
    return tuple(name for name in BASELINES if kind in _KINDS.get(name, KINDS))


def make_baseline(name: str, spec: DeskSpec, mid_ticks: float) -> Policy:
    """A baseline by name, at a price level of `mid_ticks`.

    Raises:
        PolicyError: an unknown name, or one that cannot act for a desk of this kind.
    """
    if name not in BASELINES:
        raise PolicyError(f"unknown baseline {name!r}: choose one of {', '.join(BASELINES)}")
    return BASELINES[name](spec, mid_ticks)


@njit
def _draw_codes(seed: int, step: int, bins: NDArray[np.int64], codes: NDArray[np.int32]) -> None:
    """Fill codes[N, A] for lanes with seeds seed, seed + 1, ...; counters never repeat within a lane."""
    for i in range(codes.shape[0]):
        for j in range(codes.shape[1]):
            codes[i, j] = below(seed + i, RANDOM_STREAM, step * len(bins) + j, bins[j])
