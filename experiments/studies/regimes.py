"""Results by what the market was like: volatility, liquidity and trend of each episode, in thirds.

An episode's regime is measured over the episode itself, with hindsight, from the exchange's best quotes at the times
of decision; it serves to read results and is seen by no policy. The bounds between the thirds come from all episodes of
the comparison, so that every policy is sliced alike.

| figure     | formula                                                                  | thirds              |
|------------|--------------------------------------------------------------------------|---------------------|
| volatility | root of the mean squared change of the mid from step to step, bps        | calm, medium, wild  |
| liquidity  | mean spread, bps                                                         | tight, medium, wide |
| trend      | change of the mid over the episode / sum of its absolute changes, -1..1  | down, none, up      |

A profit that stands in one slice alone is a bet on that regime. Intervals of thin slices are wide, and say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.jobs import run_jobs
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.episodes import play
from lobgym.experiments.evaluation.intervals import iqm_interval
from lobgym.experiments.studies.contestants import Contestant
from lobgym.experiments.studies.setting import Setting, setting_of
from lobgym.sim.jit import njit
from lobgym.sim.market import Market
from lobgym.sim.mids import quoted_mid2
from lobgym.sim.view import BookView, best_ask, best_bid, cursor_at

__all__ = ["FIGURES", "measure_regimes", "regime_cell", "regime_study", "regime_table", "thirds"]

FIGURES: Final = {
    "volatility": ("calm", "medium", "wild"),
    "liquidity": ("tight", "medium", "wide"),
    "trend": ("down", "none", "up"),
}
_BPS: Final = 10_000.0


def measure_regimes(market: Market, starts_ns: NDArray[np.int64], steps: int, interval_ns: int) -> NDArray[np.float64]:
    """float64[E, 3]: volatility, liquidity and trend of the episodes that begin at `starts_ns` int64[E].

    Raises:
        EvaluationError: an episode in which the book was never two-sided.
    """
    found = np.empty((len(starts_ns), len(FIGURES)))
    _measure(market.exch_view[0], starts_ns, steps, interval_ns, found)
    if np.isnan(found).any():
        bad = int(np.flatnonzero(np.isnan(found).any(axis=1))[0])
        raise EvaluationError(f"the episode at {starts_ns[bad]} never sees quotes on both sides: it has no regime")
    return found


def thirds(values: Sequence[float]) -> tuple[float, float]:
    """Bounds that leave a third of the values, rounded down, below the first and from the second on.

    Raises:
        EvaluationError: fewer than three values.
    """
    ordered = sorted(values)
    third = len(ordered) // 3
    if third < 1:
        raise EvaluationError(f"expected at least three episodes to cut into thirds, got {len(ordered)}")
    return ordered[third], ordered[len(ordered) - third]


def regime_cell(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """One policy, episode by episode, with the regime of each."""
    setting = setting_of(task["setting"])
    market = setting.market()
    policy, spec = Contestant(**task["contestant"]).open(market, setting.interval_ns, train=setting.train(market))
    played = play(market, spec, policy, setting.config)
    regimes = measure_regimes(market, played.starts_ns, setting.config.horizon, spec.interval_ns)
    return {
        "money_unit": float(market.instrument.money_unit),
        "pnl": played.pnl.tolist(),
        "turnover": played.turnover.tolist(),
        **{name: regimes[:, number].tolist() for number, name in enumerate(FIGURES)},
    }


def regime_study(
    contestants: Sequence[Contestant],
    setting: Setting,
    folder: str | Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    **jobs: Any,
) -> dict[str, Any]:
    """Every contestant, sliced three times.

    Args:
        jobs: `workers`, `backend` and `retries` of `run_jobs`.
    """
    plain = setting.to_json()
    tasks = [{"setting": plain, "contestant": one.to_json()} for one in contestants]
    cells = run_jobs(regime_cell, tasks, folder, progress=progress, **jobs)
    bounds = {name: thirds([value for cell in cells for value in cell[name]]) for name in FIGURES}
    rows = [
        {"policy": one.name, "digest": one.digest, "slices": _slices(cell, bounds)}
        for one, cell in zip(contestants, cells, strict=True)
    ]
    return {"setting": plain, "bounds": {name: list(pair) for name, pair in bounds.items()}, "rows": rows}


def _slices(cell: dict[str, Any], bounds: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """PnL an episode in every third of every figure, and in all episodes."""
    unit = cell["money_unit"]
    every = list(range(len(cell["pnl"])))
    parts: list[tuple[str, str, list[int]]] = [("all", "all", every)]
    for name, labels in FIGURES.items():
        low, high = bounds[name]
        places = [int(value >= low) + int(value >= high) for value in cell[name]]
        parts += [(name, label, [e for e in every if places[e] == k]) for k, label in enumerate(labels)]
    made: list[dict[str, Any]] = []
    for name, label, chosen in parts:
        pnl, traded = [cell["pnl"][e] for e in chosen], sum(cell["turnover"][e] for e in chosen)
        interval = iqm_interval([value * unit for value in pnl]) if chosen else None
        made.append(
            {
                "figure": name, "slice": label, "episodes": len(chosen), "pnl_units": sum(pnl),
                "pnl": sum(pnl) * unit / len(chosen) if chosen else None,
                "pnl_bps": sum(pnl) * _BPS / traded if traded else None,
                "iqm": None if interval is None else [interval.iqm, interval.low, interval.high],
            }
        )  # fmt: skip
    return made


def regime_table(result: dict[str, Any]) -> list[str]:
    """Lines of Markdown: interquartile mean of PnL an episode and its 95% interval, slice by slice."""
    heads = [f"{part['slice']} ({part['figure']})" for part in result["rows"][0]["slices"]]
    lines = [f"| policy | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for row in result["rows"]:
        cells = []
        for part in row["slices"]:
            if part["iqm"] is None:
                cells.append("-")
            else:
                middle, low, high = part["iqm"]
                cells.append(f"{middle:+.3g} ({low:+.3g} to {high:+.3g})")
        lines.append(f"| {row['policy']} | {' | '.join(cells)} |")
    return lines


@njit
def _measure(
    book: BookView, starts: NDArray[np.int64], steps: int, interval_ns: int, out: NDArray[np.float64]
) -> None:  # fmt: skip
    """Fill out[E, 3]: what stands at times with quotes on both sides; NaN where there are fewer than two."""
    for e in range(len(starts)):
        first = last = 0
        seen = 0
        squares = path = spreads = 0.0
        for step in range(steps + 1):
            cursor = cursor_at(book, starts[e] + step * interval_ns)
            mid2 = quoted_mid2(book, cursor)
            if mid2 <= 0:
                continue
            spreads += 2.0 * (best_ask(book, cursor) - best_bid(book, cursor)) / mid2
            if seen == 0:
                first = mid2
            else:
                change = float(mid2 - last)
                squares += change * change / (float(last) * last)
                path += abs(change)
            last = mid2
            seen += 1
        if seen < 2:
            out[e, :] = np.nan
            continue
        out[e, 0] = 1e4 * np.sqrt(squares / (seen - 1))
        out[e, 1] = 1e4 * spreads / seen
        out[e, 2] = (last - first) / path if path > 0.0 else 0.0
