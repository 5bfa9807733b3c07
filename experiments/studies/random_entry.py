"""Was it the timing? A policy against itself at random times.

Every surrogate plays the policy's own actions with the timing taken away: the actions of an episode are put into
another episode of the comparison and turned around in time by a random number of steps (what falls off the end comes
first). Sizes, holding times, sides, and the number of trades stay, but for the seam; what is gone is any tie between
the actions and the market. A policy that earns by exposure or by how often it trades earns the same at random times;
one that earns by knowing when does not.

p = (1 + surrogates with at least the policy's PnL) / (1 + surrogates): the chance of such a result among equally likely
arrangements (Phipson and Smyth 2010). It is a test of timing against these episodes, not of profit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.agents.jobs import run_jobs
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.episodes import play, play_codes
from lobgym.experiments.evaluation.significance import holm
from lobgym.experiments.evaluation.stats import fixed_mean
from lobgym.experiments.studies.contestants import Contestant
from lobgym.experiments.studies.setting import Setting, setting_of
from lobgym.sim.rng import below

__all__ = ["entry_cell", "entry_study", "entry_table", "permutation_p", "shuffled"]

SURROGATES: Final = 99
_ENTRY_STREAM: Final = 0x656E7472  # "entr": keeps these draws apart from every other use of the same seed
_EPISODES_MIN: Final = 2


def shuffled(codes: NDArray[np.int32], seed: int) -> NDArray[np.int32]:
    """The episodes' actions int32[T, E, A] dealt anew to the episodes, each turned around in time.

    Raises:
        EvaluationError: fewer than two episodes.
    """
    steps, episodes, _ = codes.shape
    if episodes < _EPISODES_MIN:
        raise EvaluationError(f"expected at least {_EPISODES_MIN} episodes to exchange actions between, got {episodes}")
    order = list(range(episodes))
    for k in range(episodes - 1, 0, -1):  # Fisher and Yates
        other = int(below(seed, _ENTRY_STREAM, k, k + 1))
        order[k], order[other] = order[other], order[k]
    turns = [int(below(seed, _ENTRY_STREAM, episodes + e, steps)) for e in range(episodes)]
    moved = [np.roll(codes[:, taken], turn, axis=0) for taken, turn in zip(order, turns, strict=True)]
    return np.ascontiguousarray(np.stack(moved, axis=1))


def permutation_p(observed: int, surrogates: Sequence[int]) -> float:
    """Share of arrangements, the observed one included, that did at least as well."""
    return (1 + sum(value >= observed for value in surrogates)) / (1 + len(surrogates))


def entry_cell(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """One policy and its surrogates: PnL and turnover over all episodes, money units."""
    setting = setting_of(task["setting"])
    market = setting.market()
    policy, spec = Contestant(**task["contestant"]).open(market, setting.interval_ns, train=setting.train(market))
    own = play(market, spec, policy, setting.config)
    found: dict[str, list[int]] = {"pnl": [], "turnover": []}
    for number in range(task["surrogates"]):
        other = play_codes(market, spec, shuffled(own.codes, number), setting.config)
        for name, values in found.items():
            values.append(sum(getattr(other, name).tolist()))
    return {
        "money_unit": float(market.instrument.money_unit),
        "pnl": sum(own.pnl.tolist()),
        "turnover": sum(own.turnover.tolist()),
        "surrogate_pnl": found["pnl"],
        "surrogate_turnover": found["turnover"],
    }


def entry_study(
    contestants: Sequence[Contestant],
    setting: Setting,
    folder: str | Path,
    *,
    surrogates: int = SURROGATES,
    progress: Callable[[int, int], None] | None = None,
    **jobs: Any,
) -> dict[str, Any]:
    """Every contestant against its own actions at random times; p values also after Holm's correction.

    Args:
        surrogates: at least 19, with which no p value is below 0.05.
        jobs: `workers`, `backend` and `retries` of `run_jobs`.
    """
    if surrogates < 19:
        raise EvaluationError(f"expected at least 19 surrogates, got {surrogates}")
    plain = setting.to_json()
    tasks = [{"setting": plain, "contestant": one.to_json(), "surrogates": surrogates} for one in contestants]
    cells = run_jobs(entry_cell, tasks, folder, progress=progress, **jobs)
    p_values = [permutation_p(cell["pnl"], cell["surrogate_pnl"]) for cell in cells]
    total = len(setting.config.seeds) * setting.config.episodes
    rows = []
    for one, cell, p, adjusted in zip(contestants, cells, p_values, holm(p_values), strict=True):
        unit = cell["money_unit"] / total
        rows.append(
            {
                "policy": one.name, "digest": one.digest, "pnl": cell["pnl"] * unit,
                "random_pnl": fixed_mean([value * unit for value in cell["surrogate_pnl"]]),
                "best_random_pnl": max(cell["surrogate_pnl"]) * unit,
                "turnover": cell["turnover"] * unit,
                "random_turnover": fixed_mean([value * unit for value in cell["surrogate_turnover"]]),
                "p": p, "p_holm": adjusted,
            }
        )  # fmt: skip
    return {"setting": plain, "surrogates": surrogates, "rows": rows}


def entry_table(result: dict[str, Any]) -> list[str]:
    """Lines of Markdown; money an episode."""
    lines = [
        "| policy | PnL | at random times, mean | best of them | turnover | at random times | p | p, Holm |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['policy']} | {row['pnl']:+.4g} | {row['random_pnl']:+.4g} | {row['best_random_pnl']:+.4g} | "
            f"{row['turnover']:.4g} | {row['random_turnover']:.4g} | {row['p']:.3g} | {row['p_holm']:.3g} |"
        )
    return lines
