"""Does learning find what is there, and nothing where nothing is? Three studies with known answers.

`alpha`: the planted alpha at three strengths. EarnHFT beside a threshold rule that is told the signal, rules fitted to
forecasts, and the optimal programme; the figure is the share of the non-clairvoyant optimum.
`martingale`: without fees nobody earns; every player is tested over the seeds, with Holm's correction at 1%.
`corrections`: at the middle strength, each correction of the published algorithm switched off alone, and all of them.

Every (strength, seed, variant) is a job with fresh markets, so a study goes on where it was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from lobgym.agents.jobs import run_jobs
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.intervals import IqmInterval, apart, iqm_difference, iqm_interval
from lobgym.experiments.evaluation.significance import holm, t_test
from lobgym.experiments.evaluation.stats import fixed_mean
from lobgym.experiments.known.cells import EARNHFT, agent_cell
from lobgym.experiments.source import source_sha256
from lobgym.sim.flow.dealer import STRENGTHS

__all__ = ["STRENGTHS", "STUDIES", "StudyPlan", "alpha_agents", "corrections_table", "martingale_agents", "study_lines"]

SCHEMA: Final = "lobgym.known-agents/1"
STUDIES: Final = ("alpha", "martingale", "corrections")
ALPHA_LEVEL: Final = 0.01
MIDDLE: Final = 0.5
WANTED_SHARE: Final = 0.6
_SEEDS_MIN: Final = 2
_UPPER: Final = "programme"  # what the others are measured by, not a competitor


class StudyPlan:
    """What all cells of the studies share.

    Args:
        folder: where finished cells lie.
        seeds: how many, each with markets of its own.
        profile: of EarnHFT.
        train_minutes, test_minutes: length of the two tapes of a seed.
        trainer: `module:function` (`lobgym.experiments.known.cells.Trainer`).
        progress: called with (cells done, cells).
        jobs: `workers`, `backend` and `retries` of `run_jobs`.

    Raises:
        EvaluationError: fewer than two seeds.
    """

    def __init__(
        self,
        folder: str | Path,
        seeds: int = 10,
        profile: str = "quick",
        train_minutes: float = 240.0,
        test_minutes: float = 120.0,
        trainer: str = EARNHFT,
        progress: Callable[[int, int], None] | None = None,
        **jobs: Any,
    ) -> None:
        if seeds < _SEEDS_MIN:
            raise EvaluationError(f"expected at least {_SEEDS_MIN} seeds, got {seeds}")
        self.folder = Path(folder)
        self.seeds = seeds
        self.facts = {
            "profile": profile, "train_minutes": train_minutes, "test_minutes": test_minutes, "trainer": trainer,
        }  # fmt: skip
        self.progress = progress
        self.jobs = jobs

    def cells(self, variants: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """Results of every variant, each a list over the seeds."""
        made_by = source_sha256("sim", "envs", "agents/earnhft", "agents/baselines")
        base = {"strength": MIDDLE, "free": False, "corrections": {}, "ablate": False, "source": made_by}
        tasks = [
            {**base, **self.facts, **variant, "seed": seed} for seed in range(self.seeds) for variant in variants
        ]  # fmt: skip
        found = run_jobs(agent_cell, tasks, self.folder, progress=self.progress, **self.jobs)
        return [found[number :: len(variants)] for number in range(len(variants))]


# -- the planted alpha -------------------------------------------------------------------------------------------------


def alpha_agents(plan: StudyPlan, strengths: Sequence[float] = STRENGTHS) -> dict[str, Any]:
    """Shares of the optimum at every strength, with `failures` where the bar is missed."""
    cells = plan.cells([{"strength": strength, "ablate": True} for strength in strengths])
    parts = [_strength(strength, own) for strength, own in zip(strengths, cells, strict=True)]
    failures = [failure for part in parts if part["strength"] == MIDDLE for failure in part["failures"]]
    return _result("alpha", plan, {"strengths": parts}, failures)


def _strength(strength: float, cells: list[dict[str, Any]]) -> dict[str, Any]:
    optimum, trip = cells[0]["optimum"], cells[0]["round_trip"]
    shares = {
        who: [cell["earned"][who] / optimum for cell in cells] for who in cells[0]["earned"]
    }  # fmt: skip
    rows = []
    first = cells[0]["trained"][0]
    for who, values in shares.items():
        interval = iqm_interval(values)
        lots = fixed_mean([float(cell["lots"][who]) for cell in cells])
        rows.append(
            {
                "player": who, "trained": who in cells[0]["trained"], "share_mean": fixed_mean(values),
                "share": asdict(interval),
                "behind": None if who == first else asdict(iqm_difference(shares[first], values)),
                "round_trips": fixed_mean(values) * optimum / trip,
                "positive": sum(value > 0.0 for value in values), "lots": lots, "per_seed": values,
            }
        )  # fmt: skip
    rows.sort(key=lambda row: -row["share"]["iqm"])
    return {
        "strength": strength, "seeds": len(cells), "optimum_round_trips": optimum / trip, "rows": rows,
        "failures": _alpha_failures(cells[0]["trained"][0], shares, cells[0]["trained"]),
        "test_digests": [cell["test_digest"] for cell in cells], "facts": [cell["facts"] for cell in cells],
    }  # fmt: skip


def _alpha_failures(who: str, shares: dict[str, list[float]], trained: Sequence[str]) -> list[str]:
    """What the first trained player misses of the bar."""
    mean, own = fixed_mean(shares[who]), iqm_interval(shares[who])
    found = []
    if mean < WANTED_SHARE:
        found.append(f"{who} earned {mean:.0%} of the optimum, {WANTED_SHARE:.0%} were wanted")
    for other, values in shares.items():
        if other in trained or other == _UPPER:
            continue
        beside = iqm_interval(values)
        if not apart(own, beside):
            found.append(
                f"{who}'s interval, {_percent(own)}, is not above that of {other}, {_percent(beside)}"
            )  # fmt: skip
    return found


# -- the martingale ----------------------------------------------------------------------------------------------------


def martingale_agents(plan: StudyPlan) -> dict[str, Any]:
    """Every player's mean per seed against 0, without fees."""
    (cells,) = plan.cells([{"strength": None, "free": True, "ablate": True}])
    tests = {who: t_test([cell["earned"][who] for cell in cells]) for who in cells[0]["earned"]}
    rows, failures = [], []
    for (who, test), adjusted in zip(tests.items(), holm([one.p_above for one in tests.values()]), strict=True):
        lots = sum(cell["lots"][who] for cell in cells)
        per_lot = None if lots == 0 else test.mean * test.count / lots
        rows.append({"player": who, "test": asdict(test), "p_holm": adjusted, "lots": lots, "ticks_per_lot": per_lot})
        if adjusted < ALPHA_LEVEL:
            failures.append(f"{who} earns on the martingale: p {adjusted:.2g} after Holm's correction")
    digests = [cell["test_digest"] for cell in cells]
    return _result("martingale", plan, {"rows": rows, "test_digests": digests}, failures)


# -- the corrections ---------------------------------------------------------------------------------------------------


def corrections_table(plan: StudyPlan, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Each correction switched off alone, and all: share of the optimum, and the difference, paired by seed."""
    from lobgym.agents.earnhft.config import Corrections

    chosen = Corrections.names() if names is None else tuple(names)
    off = [{}, *({name: False} for name in chosen), dict.fromkeys(Corrections.names(), False)]
    labels = ["corrected", *(f"without {name}" for name in chosen), "reference"]
    cells = plan.cells([{"corrections": one, "ablate": not one} for one in off])
    who = cells[0][0]["trained"][0]
    shares = [[cell["earned"][who] / cell["optimum"] for cell in own] for own in cells]
    rows = [
        {
            "variant": label, "share": asdict(iqm_interval(values)), "share_mean": fixed_mean(values),
            "difference": None if number == 0 else asdict(iqm_difference(values, shares[0])),
            "worst": min(values), "per_seed": values,
        }
        for number, (label, values) in enumerate(zip(labels, shares, strict=True))
    ]  # fmt: skip
    return _result("corrections", plan, {"strength": MIDDLE, "rows": rows}, [])


# -- reports -----------------------------------------------------------------------------------------------------------


def study_lines(result: dict[str, Any]) -> list[str]:
    """A study as lines of Markdown."""
    write = {"alpha": _alpha_lines, "martingale": _martingale_lines, "corrections": _correction_lines}
    lines = write[result["study"]](result)
    return [*lines, "", *(f"MISSED: {failure}" for failure in result["failures"])] if result["failures"] else lines


def _head(result: dict[str, Any]) -> str:
    return (
        f"{result['seeds']} seeds, profile {result['profile']}; {result['train_minutes']:g} minutes to learn from, "
        f"{result['test_minutes']:g} fresh ones to play."
    )


def _alpha_lines(result: dict[str, Any]) -> list[str]:
    lines = [
        f"Planted alpha: {_head(result)} Share of the non-clairvoyant optimum.", "",
        "| strength | player | mean | interquartile mean (95%) | round trips | above 0 | learner's lead, paired |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for part in result["strengths"]:
        for row in part["rows"]:
            interval = _percent(IqmInterval(**row["share"]))
            lead = "" if row["behind"] is None else _percent(IqmInterval(**row["behind"]), sign="+")
            lines.append(
                f"| {part['strength']:g} | {row['player']} | {row['share_mean']:.1%} | {interval} | "
                f"{row['round_trips']:+.1f} | {row['positive']} of {part['seeds']} | {lead} |"
            )
    return lines


def _martingale_lines(result: dict[str, Any]) -> list[str]:
    lines = [
        f"Martingale without fees: {_head(result)}", "",
        "| player | lots | ticks a lot | t | p | p, Holm |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in result["rows"]:
        per_lot = "-" if row["ticks_per_lot"] is None else f"{row['ticks_per_lot']:+.2f}"
        test = row["test"]
        lines.append(
            f"| {row['player']} | {row['lots']:,} | {per_lot} | {test['t']:+.2f} | {test['p_above']:.2g} | "
            f"{row['p_holm']:.2g} |"
        )
    return lines


def _correction_lines(result: dict[str, Any]) -> list[str]:
    lines = [
        f"Corrections: {_head(result)} Strength {result['strength']:g}, share of the optimum; the difference is paired "
        "by seed.", "",
        "| variant | mean | interquartile mean (95%) | worst seed | difference to corrected (95%) |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for row in result["rows"]:
        apart_by = "" if row["difference"] is None else _percent(IqmInterval(**row["difference"]), sign="+")
        lines.append(
            f"| {row['variant']} | {row['share_mean']:.1%} | {_percent(IqmInterval(**row['share']))} | "
            f"{row['worst']:.1%} | {apart_by} |"
        )
    return lines


def _percent(one: IqmInterval, sign: str = "") -> str:
    return f"{one.iqm:{sign}.1%} ({one.low:{sign}.1%} to {one.high:{sign}.1%})"


def _result(study: str, plan: StudyPlan, found: dict[str, Any], failures: list[str]) -> dict[str, Any]:
    return {"schema": SCHEMA, "study": study, "seeds": plan.seeds, **plan.facts, **found, "failures": failures}
