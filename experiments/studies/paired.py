"""Contestants beside the first of them, in the same episodes: differences are paired by seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lobgym.agents.jobs import run_jobs
from lobgym.experiments.evaluation.episodes import play
from lobgym.experiments.evaluation.intervals import IqmInterval, iqm_difference, iqm_interval
from lobgym.experiments.evaluation.stats import fixed_mean
from lobgym.experiments.studies.contestants import Contestant
from lobgym.experiments.studies.setting import Setting, setting_of

__all__ = ["paired_cell", "paired_study", "paired_table"]


def paired_cell(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """One contestant: exact sums per seed, money units."""
    setting = setting_of(task["setting"])
    market = setting.market()
    policy, spec = Contestant(**task["contestant"]).open(market, setting.interval_ns, train=setting.train(market))
    played = play(market, spec, policy, setting.config)
    sums = {name: list(played.by_seed(name).values()) for name in ("pnl", "fees", "turnover", "fills")}
    return {"money_unit": float(market.instrument.money_unit), "params_digest": spec.params.digest, **sums}


def paired_study(
    contestants: Sequence[Contestant],
    setting: Setting,
    folder: str | Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    **jobs: Any,
) -> dict[str, Any]:
    """PnL an episode of everyone, and its difference to the first.

    Args:
        jobs: `workers`, `backend` and `retries` of `run_jobs`.
    """
    plain = setting.to_json()
    tasks = [{"setting": plain, "contestant": one.to_json()} for one in contestants]
    cells = run_jobs(paired_cell, tasks, folder, progress=progress, **jobs)
    values = [[units * cell["money_unit"] / setting.config.episodes for units in cell["pnl"]] for cell in cells]
    rows = [
        {
            "policy": one.name, "digest": one.digest, "pnl_mean": fixed_mean(own), "pnl": asdict(iqm_interval(own)),
            "difference": None if number == 0 else asdict(iqm_difference(own, values[0])), "per_seed": own,
            "fills": sum(cells[number]["fills"]),
        }
        for number, (one, own) in enumerate(zip(contestants, values, strict=True))
    ]  # fmt: skip
    return {"setting": plain, "rows": rows}


def paired_table(result: dict[str, Any]) -> list[str]:
    """Lines of Markdown."""
    first = result["rows"][0]["policy"]
    lines = [
        f"| policy | PnL an episode | interquartile mean (95%) | less {first} (95%) | fills |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        less = "" if row["difference"] is None else _figures(row["difference"])
        lines.append(
            f"| {row['policy']} | {row['pnl_mean']:+.4g} | {_figures(row['pnl'])} | {less} | {row['fills']:,} |"
        )
    return lines


def _figures(plain: dict[str, Any]) -> str:
    one = IqmInterval(**plain)
    return f"{one.iqm:+.4g} ({one.low:+.4g} to {one.high:+.4g})"
