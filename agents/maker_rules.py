"""Market makers written by hand, for desks of kind "maker"."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.columns import column_of, require_kind, unsqueezed
from lobgym.sim.actions import CODE_ASK_OFFSET, CODE_BID_OFFSET, CODE_LEAN, CODE_MAKER_SIZE, MAKER_BINS
from lobgym.sim.desk_spec import DeskSpec

__all__ = ["AvellanedaStoikov", "FixedMaker"]

_LEAN_MAX = MAKER_BINS[CODE_LEAN] - 1


class FixedMaker:
    """One order a side at a constant distance from the mid, whatever the market does and whatever is held.

    Args:
        mid_ticks: price level at which the offset (bps) is turned into ticks.
        offset_bps: distance of each quote, bps; the nearest that the desk's table has.
        size: code of the size.
    """

    name = "fixed-maker"

    def __init__(self, spec: DeskSpec, mid_ticks: float, offset_bps: float = 2.4, size: int = 0) -> None:
        require_kind(spec, "maker", self.name)
        self._spec = spec
        offset = int(np.argmin(np.abs(np.asarray(spec.offset_ticks, np.float64) - offset_bps * 1e-4 * mid_ticks)))
        self._row = np.zeros(spec.action.size, np.int32)
        self._row[CODE_BID_OFFSET] = self._row[CODE_ASK_OFFSET] = offset
        self._row[CODE_MAKER_SIZE] = size
        spec.action.encode(self._row[None, :])

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Nothing to forget."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`."""
        return self._spec.action.encode(np.tile(self._row, (len(observations), 1)))


class AvellanedaStoikov:
    """Quotes around a reservation price, after Avellaneda and Stoikov (2008), with a horizon that never comes nearer.

    Their reservation price lies q * gamma * sigma^2 * T from the mid, against the inventory q, and their quotes half of
    gamma * sigma^2 * T + (2 / gamma) * ln(1 + gamma / k) on either side of it. Here q is the share of the position
    limit that is held, sigma the volatility of a second in bps, T a constant, and the last term, which has to be
    estimated from how far away orders still fill, a constant half-spread. The desk's skew does the leaning: it is told
    how far the reservation price lies from the mid at the limit.

    Args:
        mid_ticks: price level at which bps are turned into ticks.
        gamma: aversion to risk, per bps, of the whole position limit.
        horizon_s: T, seconds.
        base_bps: the half-spread that remains without volatility, bps; a round trip has to pay two maker fees.
        size: code of the size.
    """

    name = "avellaneda-stoikov"

    def __init__(
        self,
        spec: DeskSpec,
        mid_ticks: float,
        gamma: float = 0.1,
        horizon_s: float = 60.0,
        base_bps: float = 2.0,
        size: int = 0,
    ) -> None:
        require_kind(spec, "maker", self.name)
        self._spec = spec
        self._column, self._scale = column_of(spec, "volatility_60s", "natr_14")
        self._ticks_per_bps = mid_ticks * 1e-4
        self._offsets = np.asarray(spec.offset_ticks, np.float64)
        self._gamma_horizon = gamma * horizon_s
        self._base_bps = base_bps
        self._size = size

    def reset(self, lanes: int, seed: int = 0) -> None:
        """Nothing to forget."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """See `Policy.act`."""
        sigma_bps = unsqueezed(observations[:, self._column], self._scale)
        lean_bps = self._gamma_horizon * sigma_bps * sigma_bps
        half_ticks = (self._base_bps + 0.5 * lean_bps) * self._ticks_per_bps
        codes = np.zeros((len(observations), self._spec.action.size), np.int32)
        offset = np.argmin(np.abs(self._offsets[None, :] - half_ticks[:, None]), axis=1)
        codes[:, CODE_BID_OFFSET] = codes[:, CODE_ASK_OFFSET] = offset
        codes[:, CODE_MAKER_SIZE] = self._size
        lean = lean_bps * self._ticks_per_bps / max(self._spec.lean_ticks, 1)
        codes[:, CODE_LEAN] = np.minimum(np.rint(lean), _LEAN_MAX).astype(np.int32)
        return self._spec.action.encode(codes)
