"""The baselines by name: what each needs, and how to get it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lobgym.agents.baselines.calibration import Calibration
from lobgym.agents.baselines.executions import Immediate, Pov, Twap
from lobgym.agents.baselines.facts import MarketFacts
from lobgym.agents.baselines.fixed import AlwaysLong, AlwaysShort, BuyAndHold, Flat, RandomCodes, RandomHeld, TwapInto
from lobgym.agents.baselines.forecasts import Forecast, ForecastRule, ImbalanceTaker
from lobgym.agents.baselines.grids import AdaptiveGrid, NatrGrid, RegimeGrid, StaticGrid
from lobgym.agents.baselines.makers import AvellanedaStoikov, CalibratedMaker, FixedMaker
from lobgym.agents.baselines.routing import RegimePolicy
from lobgym.agents.baselines.toxicity import TOXICITY_COLUMNS, throttle
from lobgym.agents.errors import PolicyError
from lobgym.agents.policy import Policy
from lobgym.sim.actions import EXECUTION, GRID, KINDS, MAKER, TARGET
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.observation import ObservationLayout

__all__ = ["BASELINES", "Baseline", "available_baselines", "baseline_spec", "make_baseline"]

_MATCHED_PPM: Final = 100_000  # where no turnover is matched: a lane draws anew every tenth step
_Make = Callable[[DeskSpec, float, MarketFacts | None], Policy]


@dataclass(frozen=True)
class Baseline:
    """One entry.

    Attributes:
        kinds: of desks that it can act at.
        make: from a desk, a price level in ticks, and facts (None where it is not fitted).
        core: part of every comparison, on the default desks; the others are asked for by name or as a suite.
        fitted: needs `MarketFacts`.
        columns: of the layout beyond the kind's default ones.
    """

    kinds: tuple[str, ...]
    make: _Make
    core: bool = False
    fitted: bool = False
    columns: tuple[str, ...] = ()


def _plain(make: Callable[[DeskSpec], Policy]) -> _Make:
    return lambda spec, mid, facts: make(spec)


def _priced(make: Callable[[DeskSpec, float], Policy]) -> _Make:
    return lambda spec, mid, facts: make(spec, mid)


def _calibrated(form: str) -> _Make:
    return lambda spec, mid, facts: CalibratedMaker(spec, _calibration(facts), form)


def _forecast(kind: str, band: bool) -> _Make:
    name = f"{kind}-band" if band else kind
    return lambda spec, mid, facts: ForecastRule(spec, _forecast_of(facts, kind), band, name)


def _throttled(make: Callable[[DeskSpec, float], Policy]) -> _Make:
    return lambda spec, mid, facts: throttle(make(spec, mid), spec, _facts(facts).toxicity)


_CORE: Final[dict[str, Baseline]] = {
    "flat": Baseline(KINDS, _plain(Flat), core=True),
    "always-long": Baseline((TARGET,), _plain(AlwaysLong), core=True),
    "random": Baseline(KINDS, _plain(RandomCodes), core=True),
    "static-grid": Baseline((GRID,), _plain(StaticGrid), core=True),
    "natr-grid": Baseline((GRID,), _priced(NatrGrid), core=True),
    "fixed-maker": Baseline((MAKER,), _priced(FixedMaker), core=True),
    "avellaneda-stoikov": Baseline((MAKER,), _priced(AvellanedaStoikov), core=True),
    "twap": Baseline((EXECUTION,), _plain(Twap), core=True),
    "pov": Baseline((EXECUTION,), _plain(Pov), core=True),
    "immediate": Baseline((EXECUTION,), _plain(Immediate), core=True),
}
_MORE: Final[dict[str, Baseline]] = {
    "always-short": Baseline((TARGET,), _plain(AlwaysShort)),
    "buy-and-hold": Baseline((TARGET,), _plain(BuyAndHold)),
    "twap-into": Baseline((TARGET,), _plain(TwapInto)),
    "random-matched": Baseline((GRID, TARGET, MAKER), lambda spec, mid, facts: RandomHeld(spec, _MATCHED_PPM)),
    "imbalance-taker": Baseline((TARGET,), _plain(ImbalanceTaker)),
    "regime-grid": Baseline((GRID,), _priced(RegimeGrid)),
    "adaptive-grid": Baseline((GRID,), _priced(AdaptiveGrid)),
}
_FITTED: Final[dict[str, Baseline]] = {
    "threshold": Baseline((TARGET,), _forecast("threshold", False), fitted=True),
    "threshold-band": Baseline((TARGET,), _forecast("threshold", True), fitted=True),
    "linear": Baseline((TARGET,), _forecast("linear", False), fitted=True),
    "linear-band": Baseline((TARGET,), _forecast("linear", True), fitted=True),
    "avellaneda-stoikov-calibrated": Baseline((MAKER,), _calibrated("avellaneda-stoikov"), fitted=True),
    "glft": Baseline((MAKER,), _calibrated("gueant-lehalle"), fitted=True),
    "regime-router": Baseline(
        (GRID, TARGET, MAKER),
        lambda spec, mid, facts: RegimePolicy(spec, mid, _facts(facts).axes_of(spec)),
        fitted=True,
        columns=("natr_60", "spread", "return_60s"),
    ),
    "adaptive-grid-throttled": Baseline((GRID,), _throttled(AdaptiveGrid), fitted=True, columns=TOXICITY_COLUMNS),
    "fixed-maker-throttled": Baseline((MAKER,), _throttled(FixedMaker), fitted=True, columns=TOXICITY_COLUMNS),
}
BASELINES: Final[dict[str, Baseline]] = _CORE | _MORE | _FITTED


def available_baselines(kind: str, suite: bool = False) -> tuple[str, ...]:
    """Names of the baselines that can act in an environment of this kind, in the order of `BASELINES`.

    Args:
        suite: all of them; else only those that stand in every comparison, on the default desk and without a fit.
    """
    return tuple(name for name, one in BASELINES.items() if kind in one.kinds and (one.core or suite))


def baseline_spec(name: str, spec: DeskSpec) -> DeskSpec:
    """The desk with the columns that a baseline reads besides those that it has."""
    own = spec.layout.columns
    more = tuple(column for column in _named(name).columns if column not in own)
    return spec.replace(layout=ObservationLayout(own + more)) if more else spec


def make_baseline(name: str, spec: DeskSpec, mid_ticks: float, facts: MarketFacts | None = None) -> Policy:
    """A baseline by name, at a price level of `mid_ticks`.

    Args:
        facts: of the market's training part, for those that are fitted.

    Raises:
        PolicyError: an unknown name, one that cannot act for a desk of this kind, a missing column
            (`baseline_spec` adds it), or facts that are not there.
    """
    return _named(name).make(spec, mid_ticks, facts)


def _named(name: str) -> Baseline:
    if name not in BASELINES:
        raise PolicyError(f"unknown baseline {name!r}: choose one of {', '.join(BASELINES)}")
    return BASELINES[name]


def _facts(facts: MarketFacts | None) -> MarketFacts:
    if facts is None:
        raise PolicyError("this baseline is fitted: give the facts of the training part, MarketFacts.of(market, ...)")
    return facts


def _calibration(facts: MarketFacts | None) -> Calibration:
    known = _facts(facts)
    if known.calibration is None:
        raise PolicyError(f"the training part gave no A, k and sigma: {known.missing.get('calibration')}")
    return known.calibration


def _forecast_of(facts: MarketFacts | None, kind: str) -> Forecast:
    known = _facts(facts)
    found = known.threshold if kind == "threshold" else known.linear
    if found is None:
        raise PolicyError(f"the training part gave no forecast: {known.missing.get('forecast') or known.missing}")
    return found
