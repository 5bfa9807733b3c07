"""Purged, embargoed cross-validation of whatever can be fitted: forwards in time, or over all choices of blocks.

A fitter learns from the training spans of a fold and nothing else; what it makes plays episodes that lie wholly within
the fold's test spans. Forwards, the folds tell whether an edge lasts; over all choices of blocks, every block is played
several times by policies that learned from different parts, and the results join into histories, whose spread is what
one lucky cut cannot show (`lobgym.experiments.studies.splits`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

from lobgym.agents.jobs import run_jobs
from lobgym.agents.policy import Policy
from lobgym.envs.markets import market_for
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.episodes import play
from lobgym.experiments.evaluation.evaluate import EvalConfig
from lobgym.experiments.evaluation.intervals import iqm_interval
from lobgym.experiments.evaluation.sharpe import counted_as, moments_of, probabilistic_sharpe, side_by_side
from lobgym.experiments.evaluation.stats import fixed_mean
from lobgym.experiments.source import source_sha256
from lobgym.experiments.studies.setting import SOURCES
from lobgym.experiments.studies.splits import Fold, Margin, Span, blocks, combinatorial, histories, walk_forward
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.tape import open_tape

__all__ = ["Fitter", "cross_validate", "fit_named", "fold_cell", "folds_of", "walking_table"]

Fitter: TypeAlias = Callable[[Market, Sequence[Span], dict[str, Any]], tuple[Policy, DeskSpec]]
FIT_NAMED: Final = "lobgym.experiments.studies.walking:fit_named"
WARM_NS: Final = 60_000_000_000  # of a tape's beginning, where what is observed has not yet filled its windows
_RETURNS_MIN: Final = 3


def fit_named(market: Market, train: Sequence[Span], options: dict[str, Any]) -> tuple[Policy, DeskSpec]:
    """A baseline by name and desk kind; one that is fitted knows the longest training span."""
    from lobgym.agents.baselines import open_baseline

    spec = DeskSpec.for_market(market, options["kind"])
    low, high = max(train, key=lambda span: span[1] - span[0])
    entry = open_baseline(options["name"], market, spec, max(low, market.start_ns + WARM_NS), high)
    return entry.policy, entry.spec


def folds_of(market: Market, scheme: dict[str, Any], margin: Margin) -> tuple[Fold, ...]:
    """The folds of a scheme: {"kind": "forward", "folds", "anchored"} or {"kind": "combinatorial", "groups", "tests"}.

    Raises:
        EvaluationError: another kind; see `lobgym.experiments.studies.splits`.
    """
    span = market.start_ns, market.end_ns
    if scheme["kind"] == "forward":
        return walk_forward(*span, scheme["folds"], margin, anchored=scheme.get("anchored", True))
    if scheme["kind"] == "combinatorial":
        return combinatorial(*span, scheme["groups"], scheme["tests"], margin)
    raise EvaluationError(f"expected a scheme of kind forward or combinatorial, got {scheme['kind']!r}")


def fold_cell(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """Fit on a fold's training spans, play in each of its test spans: PnL of every episode, money units."""
    market = market_for(task["tape"])
    if market.tape.digest != task["tape_digest"]:
        raise EvaluationError(f"{task['tape']} is not the tape that this study was set up with: start it anew")
    module, _, name = str(task["fitter"]).partition(":")
    fitter: Fitter = getattr(import_module(module), name)
    train = [(int(low), int(high)) for low, high in task["train"]]
    policy, spec = fitter(market, train, task["options"])
    if spec.layout.lookback_ns > task["lookback_ns"]:
        raise EvaluationError(
            f"its desk looks back {spec.layout.lookback_ns / 1e9:g} s, the gaps around what is tested are made for "
            f"{task['lookback_ns'] / 1e9:g} s: give a Margin with a lookback_ns of {spec.layout.lookback_ns}"
        )
    played = []
    for low, high in task["test"]:
        config = EvalConfig(tuple(task["seeds"]), task["episodes"], task["horizon"], (int(low), int(high)))
        one = play(market, spec, policy, config)
        played.append({"pnl": one.pnl.tolist(), "turnover": sum(one.turnover.tolist())})
    return {
        "money_unit": float(market.instrument.money_unit), "spans": played,
        "episode_ns": task["horizon"] * spec.interval_ns,
    }  # fmt: skip


def cross_validate(
    tape: str,
    scheme: dict[str, Any],
    options: dict[str, Any],
    folder: str | Path,
    *,
    fitter: str = FIT_NAMED,
    margin: Margin | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    episodes: int = 4,
    horizon: int = 120,
    progress: Callable[[int, int], None] | None = None,
    **jobs: Any,
) -> dict[str, Any]:
    """Every fold of a scheme; in the figures over all of them each episode counts once, however often it was played.

    Args:
        tape: name or path.
        scheme: see `folds_of`.
        options: given to the fitter.
        fitter: `module:function`, a `Fitter`.
        margin: `Margin()` by default; its `lookback_ns` must cover what is observed, or the folds are refused.
        seeds, episodes, horizon: in every test block: a block is played in one piece, whatever stands beside it.
        jobs: `workers`, `backend` and `retries` of `run_jobs`.
    """
    market = market_for(tape)
    margin = margin or Margin()
    folds = folds_of(market, scheme, margin)
    groups = scheme["folds"] + 1 if scheme["kind"] == "forward" else scheme["groups"]
    cut = blocks(market.start_ns, market.end_ns, groups)
    tasks = [
        {
            "tape": tape, "tape_digest": open_tape(tape).digest, "fitter": fitter, "options": options,
            "source": source_sha256(*SOURCES),
            "train": [list(span) for span in fold.train], "test": [list(cut[group]) for group in fold.groups],
            "seeds": list(seeds), "episodes": episodes, "horizon": horizon, "lookback_ns": margin.lookback_ns,
        }
        for fold in folds
    ]  # fmt: skip
    cells = run_jobs(fold_cell, tasks, folder, progress=progress, **jobs)
    unit = cells[0]["money_unit"]
    rows: list[dict[str, Any]] = [
        {
            "groups": list(fold.groups), "train_s": fold.train_ns / 1e9,
            "pnl": [value * unit for one in cell["spans"] for value in one["pnl"]],
        }
        for fold, cell in zip(folds, cells, strict=True)
    ]  # fmt: skip
    by_block = _by_block(folds, cells, unit)
    every = [value for values in by_block.values() for value in values]
    interval = iqm_interval(by_block)
    apart = sum(
        min(len(by_block[group]), side_by_side(cut[group][1] - cut[group][0], cells[0]["episode_ns"]))
        for group in by_block
    )
    paths = _paths(folds, cells, groups, unit, apart) if scheme["kind"] == "combinatorial" else []
    return {
        "tape": tape, "tape_digest": tasks[0]["tape_digest"], "scheme": scheme, "fitter": fitter, "options": options,
        "rows": rows, "mean": fixed_mean(every),
        "iqm": [interval.iqm, interval.low, interval.high], "psr": _psr(every, apart), "paths": paths,
    }  # fmt: skip


def walking_table(result: dict[str, Any]) -> list[str]:
    """Lines of Markdown."""
    lines = ["| tested blocks | learned from, s | PnL an episode | episodes above 0 |", "|---|---|---|---|"]
    for row in result["rows"]:
        above = sum(value > 0.0 for value in row["pnl"])
        lines.append(
            f"| {', '.join(map(str, row['groups']))} | {row['train_s']:.0f} | {fixed_mean(row['pnl']):+.4g} | "
            f"{above} of {len(row['pnl'])} |"
        )
    middle, low, high = result["iqm"]
    psr = "-" if result["psr"] is None else f"{result['psr']:.3f}"
    lines += ["", f"interquartile mean {middle:+.4g} ({low:+.4g} to {high:+.4g}), probabilistic Sharpe ratio {psr}"]
    if result["paths"]:
        means = sorted(path["mean"] for path in result["paths"])
        worst = sum(value <= 0.0 for value in means)
        lines.append(f"{len(means)} histories: PnL an episode {means[0]:+.4g} to {means[-1]:+.4g}, {worst} not above 0")
    return lines


def _by_block(folds: Sequence[Fold], cells: Sequence[dict[str, Any]], unit: float) -> dict[int, list[float]]:
    """By block what its episodes earned, each as the mean over the folds that tested it.

    Several folds play the very same episodes of a block. As so many results they would feign a larger sample: the
    interval would shrink and the ratio's probability grow with the number of histories, though nothing more was seen.
    """
    played: dict[int, list[list[int]]] = {}
    for fold, cell in zip(folds, cells, strict=True):
        for group, span in zip(fold.groups, cell["spans"], strict=True):
            played.setdefault(group, []).append(span["pnl"])
    return {
        group: [unit * sum(same) / len(same) for same in zip(*played[group], strict=True)] for group in sorted(played)
    }


def _paths(
    folds: Sequence[Fold], cells: Sequence[dict[str, Any]], groups: int, unit: float, apart: int
) -> list[dict[str, Any]]:  # fmt: skip
    """Every history: its mean PnL an episode and its probabilistic Sharpe ratio over episodes."""
    made = []
    for path in histories(folds, groups):
        values = []
        for group, number in enumerate(path):
            place = folds[number].groups.index(group)
            values += [value * unit for value in cells[number]["spans"][place]["pnl"]]
        made.append({"folds": list(path), "mean": fixed_mean(values), "psr": _psr(values, apart)})
    return made


def _psr(values: Sequence[float], apart: int) -> float | None:
    """Probability of a ratio above 0, of results of which so many share no time; None where there is no ratio."""
    if len(values) < _RETURNS_MIN or len(set(values)) == 1:
        return None
    return probabilistic_sharpe(counted_as(moments_of(values), apart))
