"""Market makers written by hand, for desks of kind "maker".

Two closed forms, with an intensity A exp(-k d) of orders that meet a quote d ticks away and a volatility sigma (ticks
in a second), for an inventory of q orders:

- Avellaneda and Stoikov (2008): the reservation price lies q gamma sigma^2 T below the mid, T being the
  time that is left, the quotes gamma sigma^2 T / 2 + (1 / gamma) ln(1 + gamma / k) on either side of it;
- Gueant, Lehalle and Fernandez-Tapia (2013), their approximation far from the end: the bid lies
  (1 / gamma) ln(1 + gamma / k) + (2 q + 1) / 2 * s below the mid, the ask (1 - 2 q) / 2 instead of (2 q + 1) / 2 above,
  s = sqrt(sigma^2 gamma / (2 k A) * (1 + gamma / k)^(1 + k / gamma)).

Both leave fees out. A fee of c ticks a fill is a quote that is worth c less: with d - c for d the problem is the one
without fees, and A exp(-k c) for A. So quotes move out by c, and the A of the second form shrinks.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from lobgym.agents.baselines.arrays import Array, Ops, nearest_of, rounded
from lobgym.agents.baselines.calibration import Calibration
from lobgym.agents.baselines.rule import Column, ObservationRule
from lobgym.agents.columns import require_kind
from lobgym.agents.errors import PolicyError
from lobgym.sim.actions import CODE_ASK_OFFSET, CODE_BID_OFFSET, CODE_LEAN, CODE_MAKER_SIZE, MAKER_BINS
from lobgym.sim.desk_spec import DeskSpec

__all__ = [
    "AvellanedaStoikov",
    "CalibratedMaker",
    "FixedMaker",
    "avellaneda_stoikov",
    "constant_half_spread",
    "gueant_lehalle",
]

_LEAN_MAX: Final = MAKER_BINS[CODE_LEAN] - 1
_GAMMA_OVER_K: Final = 0.01


def constant_half_spread(gamma: float, decay: float) -> float:
    """(1 / gamma) ln(1 + gamma / k): what is quoted for want of competition, in ticks."""
    return math.log1p(gamma / decay) / gamma


def avellaneda_stoikov(gamma: float, decay: float, sigma: float, left_s: float) -> tuple[float, float]:
    """(half spread, shift of the reservation price for each order held), both in ticks."""
    shift = gamma * sigma * sigma * left_s
    return 0.5 * shift + constant_half_spread(gamma, decay), shift


def gueant_lehalle(gamma: float, decay: float, sigma: float, rate: float) -> tuple[float, float]:
    """(half spread, shift of the centre for each order held), both in ticks, far from the end."""
    ratio = gamma / decay
    slope = sigma * math.sqrt(gamma / (2.0 * decay * rate) * (1.0 + ratio) ** (1.0 + 1.0 / ratio))
    return constant_half_spread(gamma, decay) + 0.5 * slope, slope


class FixedMaker(ObservationRule):
    """One order a side at a constant distance from the mid, whatever the market does and whatever is held.

    Args:
        mid_ticks: price level at which the offset (bps) is turned into ticks.
        offset_bps: distance of each quote, bps; the nearest that the desk's table has.
        size: code of the size.
    """

    name = "fixed-maker"

    def __init__(self, spec: DeskSpec, mid_ticks: float, offset_bps: float = 2.4, size: int = 0) -> None:
        super().__init__(spec)
        require_kind(spec, "maker", self.name)
        offset = int(np.argmin(np.abs(np.asarray(spec.offset_ticks, np.float64) - offset_bps * 1e-4 * mid_ticks)))
        self._row = np.zeros(spec.action.size, np.int32)
        self._row[CODE_BID_OFFSET] = self._row[CODE_ASK_OFFSET] = offset
        self._row[CODE_MAKER_SIZE] = size
        spec.action.encode(self._row[None, :])

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        return self.constant(rows, ops, self._row.tolist())


class AvellanedaStoikov(ObservationRule):
    """Quotes around a reservation price, after Avellaneda and Stoikov (2008), by hand: nothing is calibrated.

    Here q is the share of the position limit that is held, sigma the volatility of a second in bps, as observed, T a
    constant, and the half-spread that has to be estimated from how far away orders still fill is a constant. The desk's
    skew does the leaning: it is told how far the reservation price lies from the mid at the limit.

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
        super().__init__(spec)
        require_kind(spec, "maker", self.name)
        self._sigma = Column(spec, "volatility_60s", "natr_14")
        self._ticks_per_bps = mid_ticks * 1e-4
        self._offsets = nearest_of(spec.offset_ticks)
        self._gamma_horizon = gamma * horizon_s
        self._base_bps = base_bps
        self._size = float(size)
        self._lean_ticks = float(max(spec.lean_ticks, 1))
        self._lean = rounded(0, _LEAN_MAX)

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        sigma_bps = self._sigma.size(rows, ops)
        lean_bps = self._gamma_horizon * sigma_bps * sigma_bps
        offset = ops.steps((self._base_bps + 0.5 * lean_bps) * self._ticks_per_bps, self._offsets)
        lean = ops.steps(lean_bps * self._ticks_per_bps / self._lean_ticks, self._lean)
        return ops.join([offset, offset, 0.0 * offset + self._size, lean])


class CalibratedMaker(ObservationRule):
    """Two-sided quotes of a closed form with A, k and sigma of the training part, net of the maker fee.

    Each side gets the offset of the desk that is nearest to what the form says, 0 where it says less; the desk itself
    does not lean. One order a side, so q is the position in orders.

    Args:
        calibration: of the training part.
        form: "avellaneda-stoikov" or "gueant-lehalle".
        gamma_over_k: gamma in units of k, so that it needs no knowledge of prices.
        horizon_s: T of the first form, which here never comes nearer.
    """

    def __init__(
        self,
        spec: DeskSpec,
        calibration: Calibration,
        form: str,
        gamma_over_k: float = _GAMMA_OVER_K,
        horizon_s: float = 10.0,
    ) -> None:
        super().__init__(spec)
        forms = {"avellaneda-stoikov": "avellaneda-stoikov-calibrated", "gueant-lehalle": "glft"}
        if form not in forms or not gamma_over_k > 0.0 or not horizon_s > 0.0:
            raise PolicyError(
                f"expected a form of {', '.join(forms)} and positive parameters, got {form!r}, {gamma_over_k}, "
                f"{horizon_s}"
            )
        self.name = forms[form]
        require_kind(spec, "maker", self.name)
        decay, fee = calibration.intensity.decay_per_tick, max(0.0, calibration.maker_fee_ticks)
        gamma = gamma_over_k * decay
        if form == "gueant-lehalle":
            rate = calibration.intensity.at(fee)
            half, self.shift_ticks = gueant_lehalle(gamma, decay, calibration.sigma_ticks, rate)
        else:
            half, self.shift_ticks = avellaneda_stoikov(gamma, decay, calibration.sigma_ticks, horizon_s)
        self.half_spread_ticks = half + fee
        self._orders = spec.position_lots_max / spec.order_lots  # at the limit
        self._inventory = Column(spec, "inventory")
        self._offsets = nearest_of(spec.offset_ticks)

    def codes(self, rows: Array, ops: Ops) -> Array:
        """See `ObservationRule.codes`."""
        shift = self.shift_ticks * (self._orders * self._inventory.raw(rows))
        bid = ops.steps(self.half_spread_ticks + shift, self._offsets)
        ask = ops.steps(self.half_spread_ticks - shift, self._offsets)
        return ops.join([bid, ask, 0.0 * bid, 0.0 * bid])
