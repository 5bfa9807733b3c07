"""`MarketFacts`: all that baselines know of a market beforehand, from its training part alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.baselines.arrays import NUMPY
from lobgym.agents.baselines.calibration import Calibration, calibrate
from lobgym.agents.baselines.fitting import MARKET_COLUMNS, SIDED_COLUMNS, fit_forecast, observed, spread_times
from lobgym.agents.baselines.forecasts import Forecast
from lobgym.agents.baselines.regimes import Axis
from lobgym.agents.baselines.routing import RegimeReader
from lobgym.agents.baselines.rule import Column
from lobgym.agents.baselines.toxicity import TOXICITY_COLUMNS, ToxicityLimits
from lobgym.agents.errors import CalibrationError
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.params import SimParams

__all__ = ["MarketFacts", "regime_axes", "toxicity_limits"]

_ROWS_MAX: Final = 4_000  # observations that quantiles are taken of
_ROWS_MIN: Final = 50
_LOOK_NS: Final = 1_000_000_000
_REGIME_COLUMNS: Final = ("natr_60", "natr_14", "volatility_60s", "spread", "return_60s", "return_30s")


@dataclass(frozen=True)
class MarketFacts:
    """What the training part [low_ns, high_ns] says; `missing` tells why where it does not.

    Attributes:
        calibration: A, k and sigma, or None.
        threshold, linear: forecasts from one column and from all, or None.
        axes: edges of the regimes for layouts that read `axes_of`; several pairs of columns are possible, and each
            layout must use those that it was measured with.
        toxicity: limits of the throttle.
    """

    low_ns: int
    high_ns: int
    calibration: Calibration | None
    threshold: Forecast | None
    linear: Forecast | None
    axes: dict[tuple[str, str], tuple[Axis, Axis, Axis]]
    toxicity: ToxicityLimits
    missing: dict[str, str]

    @classmethod
    def of(
        cls, market: Market, low_ns: int, high_ns: int, params: SimParams | None = None, interval_ns: int = 500_000_000
    ) -> MarketFacts:
        """Measure the training part. What it is too short or too quiet for is None, with the reason in `missing`.

        Args:
            params: the venue, for its fees. interval_ns: of the desks that will use the facts.

        Raises:
            CalibrationError: fewer than 50 seconds: not even quantiles can be told.
        """
        missing: dict[str, str] = {}
        calibration: Calibration | None = None
        threshold: Forecast | None = None
        linear: Forecast | None = None
        try:
            calibration = calibrate(market, low_ns, high_ns, params, interval_ns)
            cost = calibration.half_spread_ticks + calibration.taker_fee_ticks
            cost_bps = cost / calibration.mid_ticks * 1e4
            threshold = fit_forecast(market, SIDED_COLUMNS, low_ns, high_ns, interval_ns, cost_bps, single=True)
            linear = fit_forecast(market, MARKET_COLUMNS, low_ns, high_ns, interval_ns, cost_bps)
        except CalibrationError as error:
            missing["calibration" if calibration is None else "forecast"] = str(error)
        columns = tuple(dict.fromkeys((*_REGIME_COLUMNS, *TOXICITY_COLUMNS)))
        count = min(_ROWS_MAX, (high_ns - low_ns) // _LOOK_NS)
        if count < _ROWS_MIN:
            raise CalibrationError(f"the training part has {count} seconds, quantiles need {_ROWS_MIN}")
        rows = observed(market, columns, spread_times(low_ns, high_ns, count))
        return cls(
            low_ns, high_ns, calibration, threshold, linear, _all_axes(columns, rows),
            toxicity_limits(columns, rows), missing,
        )  # fmt: skip

    def axes_of(self, desk: Any) -> tuple[Axis, Axis, Axis]:
        """The axes for a desk or a layout: those of the columns that a `RegimeReader` of it reads."""
        reader = RegimeReader(desk)
        return self.axes[reader.volatility.name, reader.trend.name]

    def to_json(self) -> dict[str, Any]:
        """The facts as plain data, for a run's record."""
        return {
            "low_ns": self.low_ns,
            "high_ns": self.high_ns,
            "calibration": None if self.calibration is None else self.calibration.to_json(),
            "threshold": None if self.threshold is None else self.threshold.to_json(),
            "linear": None if self.linear is None else self.linear.to_json(),
            "axes": {
                f"{volatility}, {trend}": [[axis.low, axis.high, axis.margin] for axis in axes]
                for (volatility, trend), axes in self.axes.items()
            },
            "toxicity": self.toxicity.to_json(),
            "missing": self.missing,
        }


def _all_axes(
    columns: tuple[str, ...], rows: NDArray[np.float32]
) -> dict[tuple[str, str], tuple[Axis, Axis, Axis]]:  # fmt: skip
    found = {}
    for volatility in ("natr_60", "natr_14", "volatility_60s"):
        for trend in ("return_60s", "return_30s"):
            chosen = (volatility, "spread", trend)
            layout = ObservationLayout(chosen)
            values = RegimeReader(layout).read(rows[:, [columns.index(name) for name in chosen]])
            found[volatility, trend] = regime_axes(values)
    return found


def regime_axes(values: NDArray[np.float64]) -> tuple[Axis, Axis, Axis]:
    """Axes from volatility, liquidity and trend of the training part, float64[N, 3].

    Volatility: calm below its median, wild from its 90th percentile on. Liquidity: normal where the spread
    is at least 1.5 times its median and its 80th percentile, thin at 3 times and the 95th. Trend: beyond the 80th
    percentile of its absolute value. Margins are a tenth of the distance of the edges.
    """
    calm, wild = np.quantile(values[:, 0], (0.5, 0.9))
    thin = [float(x) for x in np.quantile(values[:, 1], (0.5, 0.8, 0.95))]
    normal = max(1.5 * thin[0], thin[1], 1e-6)
    trend = max(float(np.quantile(np.abs(values[:, 2]), 0.8)), 1e-6)
    calm = max(float(calm), 1e-6)
    wild = max(float(wild), 1.1 * calm)
    return (_axis(calm, wild), _axis(normal, max(3.0 * thin[0], thin[2], 1.1 * normal)), _axis(-trend, trend))


def _axis(low: float, high: float) -> Axis:
    return Axis(low, high, 0.1 * (high - low))


def toxicity_limits(columns: tuple[str, ...], rows: NDArray[np.float32]) -> ToxicityLimits:
    """Limits from observations of the training part.

    VPIN and imbalance: slowed from the 95th percentile on, stopped from the 99th. Spread: slowed from
    3 times its median and the 95th percentile on, stopped from twice that and the 99th. Age of the
    book: the defaults, which are about the feed and not about the market.
    """
    layout = ObservationLayout(columns)
    values = np.asarray(rows, np.float64)
    vpin = Column(layout, "vpin").raw(values)
    imbalance = np.abs(Column(layout, "imbalance_5").raw(values))
    spread = np.quantile(Column(layout, "spread").size(values, NUMPY), (0.5, 0.95, 0.99))
    shock = max(3.0 * float(spread[0]), float(spread[1]), 1e-3)
    pairs = [tuple(max(float(x), 1e-3) for x in np.quantile(one, (0.95, 0.99))) for one in (vpin, imbalance)]
    return ToxicityLimits(
        vpin=(pairs[0][0], pairs[0][1]),
        spread_bps=(shock, max(2.0 * shock, float(spread[2]))),
        imbalance=(pairs[1][0], pairs[1][1]),
    )
