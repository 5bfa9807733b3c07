"""How much cost and how much delay a policy survives.

Each cell is a policy at a venue that is dearer by so many basis points of the value traded, or further away by so many
milliseconds; all meet the same episodes. A policy whose actions do not depend on fees loses exactly the added fee times
its turnover, so its break-even cost is known from a single run: `PnL / turnover`, on top of the fees it has paid (the
all-in cost is `(PnL + fees) / turnover`). The sweep shows it, and shows where the reasoning fails: fees that change
margin, or actions that follow the account. For delay there is no such formula: its break-even is read off the sweep,
between the two neighbours where the mean changes its sign.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from lobgym.agents.jobs import run_jobs
from lobgym.experiments.evaluation.episodes import play
from lobgym.experiments.evaluation.intervals import iqm_interval
from lobgym.experiments.evaluation.stats import RESAMPLES, fixed_mean, quantile
from lobgym.experiments.studies.contestants import Contestant
from lobgym.experiments.studies.costs import PPB_PER_BPS, dearer, slower
from lobgym.experiments.studies.setting import Setting, setting_of
from lobgym.sim.rng import below

__all__ = [
    "DELAYS_MS",
    "EXTRA_BPS",
    "break_even",
    "break_even_interval",
    "crossing",
    "sweep",
    "sweep_cell",
    "sweep_table",
]

EXTRA_BPS: Final = (-2.0, -1.0, 0.0, 1.0, 2.0, 5.0, 10.0)
DELAYS_MS: Final = (0.0, 1.0, 5.0, 20.0, 50.0, 100.0, 250.0, 500.0)
_NS_PER_MS: Final = 1_000_000
_SWEEP_STREAM: Final = 0x73776570  # "swep": keeps these draws apart from every other use of the same seed


def sweep_cell(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """One policy at one venue: exact sums for each seed, money units as whole numbers."""
    setting = setting_of(task["setting"])
    market = setting.market()
    contestant = Contestant(**task["contestant"])
    _, spec = contestant.open(market, setting.interval_ns, train=setting.train(market))
    params = dearer(spec.params, market.instrument, round(task["extra_bps"] * PPB_PER_BPS))
    params = slower(params, round(task["delay_ms"] * _NS_PER_MS))
    policy, spec = contestant.open(market, setting.interval_ns, params, setting.train(market))
    played = play(market, spec, policy, setting.config)
    fields = ("pnl", "fees", "turnover", "fills")
    return {
        "money_unit": float(market.instrument.money_unit),
        "params_digest": spec.params.digest,
        **{name: list(played.by_seed(name).values()) for name in fields},
    }


def sweep(
    contestants: Sequence[Contestant],
    setting: Setting,
    folder: str | Path,
    *,
    extra_bps: Sequence[float] = EXTRA_BPS,
    delays_ms: Sequence[float] = DELAYS_MS,
    progress: Callable[[int, int], None] | None = None,
    **jobs: Any,
) -> dict[str, Any]:
    """Every contestant at every cost and at every delay; finished cells are found again in the folder.

    Args:
        extra_bps: fees added for makers and takers alike; 0 always takes part.
        delays_ms: added on the way to the venue and on the way back; 0 always takes part.
        jobs: `workers`, `backend` and `retries` of `run_jobs`.

    Raises:
        JobError: see `run_jobs`.
    """
    costs, delays = sorted({0.0, *extra_bps}), sorted({0.0, *delays_ms})
    points = [(cost, 0.0) for cost in costs] + [(0.0, delay) for delay in delays if delay != 0.0]
    plain = setting.to_json()
    tasks = [
        {"setting": plain, "contestant": one.to_json(), "extra_bps": cost, "delay_ms": delay}
        for one in contestants
        for cost, delay in points
    ]
    cells = run_jobs(sweep_cell, tasks, folder, progress=progress, **jobs)
    rows = []
    for number, one in enumerate(contestants):
        own = dict(zip(points, cells[number * len(points) : (number + 1) * len(points)], strict=True))
        rows.append(_row(one, own, costs, delays, setting.config.episodes))
    return {"setting": plain, "extra_bps": costs, "delays_ms": delays, "rows": rows}


def break_even(pnl: Sequence[int], turnover: Sequence[int]) -> float | None:
    """Cost, in bps of the value traded on top of what was paid, at which nothing is left; None where nothing traded.

    Args:
        pnl, turnover: exact sums per seed, money units.
    """
    traded = sum(turnover)
    return None if traded == 0 else sum(pnl) * 10_000 / traded


def break_even_interval(
    pnl: Sequence[int], turnover: Sequence[int], level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of `break_even` over the seeds; None where nothing traded.

    A resample's figure is its seeds' sum of PnL over their sum of turnover, as the figure itself is. A mean of the
    seeds' own ratios is another figure, in which a seed that hardly traded weighs as much as all others.
    """
    figure = break_even(pnl, turnover)
    if figure is None:
        return None
    size, found = len(pnl), []
    for first in range(0, resamples * size, size):
        drawn = [int(below(seed, _SWEEP_STREAM, first + k, size)) for k in range(size)]
        one = break_even([pnl[k] for k in drawn], [turnover[k] for k in drawn])
        if one is not None:
            found.append(one)
    ordered = np.sort(np.array(found or [figure], np.float64))
    tail = (1.0 - level) / 2.0
    return quantile(ordered, tail), quantile(ordered, 1.0 - tail)


def crossing(points: Sequence[float], values: Sequence[float]) -> float | None:
    """The first point where values that began above 0 are no longer, interpolated linearly.

    None where they are never above 0 at the first point, or never fall to 0.
    """
    if values[0] <= 0.0:
        return None
    for k in range(1, len(points)):
        if values[k] <= 0.0:
            share = values[k - 1] / (values[k - 1] - values[k])
            return points[k - 1] + share * (points[k] - points[k - 1])
    return None


def _row(
    one: Contestant, cells: dict[tuple[float, float], dict[str, Any]], costs: list[float], delays: list[float],
    episodes: int,
) -> dict[str, Any]:  # fmt: skip
    base = cells[0.0, 0.0]
    unit = base["money_unit"] / episodes

    def means(points: list[tuple[float, float]]) -> list[float]:
        return [fixed_mean([value * unit for value in cells[point]["pnl"]]) for point in points]

    by_cost, by_delay = means([(cost, 0.0) for cost in costs]), means([(0.0, delay) for delay in delays])
    extra = break_even(base["pnl"], base["turnover"])
    gross = [pnl + fees for pnl, fees in zip(base["pnl"], base["fees"], strict=True)]
    iqm = iqm_interval([value * unit for value in base["pnl"]])
    low, high = break_even_interval(base["pnl"], base["turnover"]) or (None, None)
    return {
        "policy": one.name, "digest": one.digest, "pnl_by_cost": by_cost, "pnl_by_delay": by_delay,
        "pnl": {"iqm": iqm.iqm, "low": iqm.low, "high": iqm.high, "level": iqm.level},
        "break_even_extra_bps": extra, "break_even_all_in_bps": break_even(gross, base["turnover"]),
        "extra_bps_low": low, "extra_bps_high": high,
        "swept_extra_bps": crossing(costs, by_cost),
        "break_even_delay_ms": crossing(delays, by_delay), "cells": [
            {"extra_bps": cost, "delay_ms": delay, **cell} for (cost, delay), cell in cells.items()
        ],
    }  # fmt: skip


def sweep_table(result: dict[str, Any]) -> list[str]:
    """Lines of Markdown: PnL an episode by added cost, then by added delay."""
    lines = []
    for points, key, unit, even in (
        (result["extra_bps"], "pnl_by_cost", "bps", "break_even_extra_bps"),
        (result["delays_ms"], "pnl_by_delay", "ms", "break_even_delay_ms"),
    ):
        heads = " | ".join(f"{point:+g} {unit}" for point in points)
        lines += [f"| policy | {heads} | break-even, {unit} |", "|---" * (len(points) + 2) + "|"]
        for row in result["rows"]:
            cells = " | ".join(f"{value:+.4g}" for value in row[key])
            lines.append(f"| {row['policy']} | {cells} | {_figure(row[even])} |")
        lines.append("")
    return lines[:-1]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3g}"
