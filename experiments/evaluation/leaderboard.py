"""The leaderboard: every policy on the same episodes, sorted by mean PnL, as a table, as JSON and as a page.

Whatever was trained, the policies written by hand always stand beside it, doing nothing included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from rich.table import Table

import lobgym
from lobgym.agents.baselines import available_baselines, make_baseline
from lobgym.agents.onnx.export import export_policy
from lobgym.agents.onnx.parity import OnnxPolicy
from lobgym.agents.policy import Policy
from lobgym.agents.sb3.runs import load_run
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.evaluate import Evaluation, Evaluator
from lobgym.experiments.evaluation.stats import Interval, bootstrap_interval, fixed_mean
from lobgym.experiments.files import write_text
from lobgym.experiments.pages.leaderboard import render_page
from lobgym.experiments.pages.svg import format_fixed, shared_decimals
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec

__all__ = [
    "SEEDS_MIN",
    "Entry",
    "Leaderboard",
    "build_leaderboard",
    "fixed_entries",
    "leaderboard_json",
    "render_table",
    "trained_entry",
]

SCHEMA: Final = "lobgym.leaderboard/1"
SEEDS_MIN: Final = 5
WIDE: Final = 120  # characters that the whole table needs
LEVEL: Final = 0.95
JSON_FILE: Final = "leaderboard.json"
PAGE_FILE: Final = "index.html"

# Figures that a row averages over its seeds.
_AVERAGED: Final = (
    "pnl_bps",
    "max_drawdown",
    "fill_rate",
    "time_to_fill_ms",
    "mean_abs_inventory",
    "turnover",
    "fees",
    "fills",
)


@dataclass(frozen=True)
class Entry:
    """What takes part: one policy, or one per seed (trained with different seeds), and the desk it trades at."""

    policies: tuple[Policy, ...]
    spec: DeskSpec
    kind: Literal["trained", "fixed"]
    name: str


@dataclass(frozen=True)
class Leaderboard:
    """The evaluations in the order of their ranks, with what is needed to repeat them.

    Attributes:
        lead: best trained minus best fixed policy, paired by seed; None where there is nothing to compare.
    """

    evaluations: tuple[Evaluation, ...]
    intervals: tuple[Interval, ...]
    lead: Interval | None
    evaluator: Evaluator
    command: str
    tape_name: str
    commit: str | None

    def best(self, kind: str, trading: bool = False) -> Evaluation | None:
        """The first of a kind (`trained` or `fixed`), of those that trade at all if asked for."""
        found = (one for one in self.evaluations if one.kind == kind)
        return next((one for one in found if not trading or any(m.fills for m in one.per_seed)), None)

    def write(self, folder: str | Path, gates: dict[str, Any] | None = None) -> tuple[Path, Path]:
        """Write leaderboard.json and index.html (each aside, then renamed); returns their paths.

        Args:
            gates: see `render_page`.
        """
        root = Path(folder)
        data = leaderboard_json(self)
        drawn = (self.best("trained"), self.best("fixed", trading=True))
        traces = [one.trace.to_json() for one in drawn if one is not None]
        text = msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n"
        write_text(root / JSON_FILE, text)
        write_text(root / PAGE_FILE, render_page(data, traces, gates))
        return root / JSON_FILE, root / PAGE_FILE


def fixed_entries(evaluator: Evaluator, specs: Sequence[DeskSpec]) -> list[Entry]:
    """Every baseline that can act at each of the desks."""
    entries = []
    for spec in specs:
        mid_ticks = Desk(spec, evaluator.market).mid2() / 2
        for name in available_baselines(spec.kind):
            entries.append(Entry((make_baseline(name, spec, mid_ticks),), spec, "fixed", name))
    return entries


def trained_entry(folders: Sequence[str | Path], name: str | None = None) -> Entry:
    """What was trained into one run folder, or one folder per seed, as an entry.

    The policy that takes part is the exported one: what is ranked is what is served, and it decides the same in a
    batch as alone, which torch does not promise.

    Raises:
        EvaluationError: runs of different desks; RunFolderError, ModelHashError: see `load_run`.
    """
    runs = [load_run(folder) for folder in folders]
    if len({run.spec.digest for run in runs}) != 1:
        raise EvaluationError(
            f"expected runs of one desk, got {len({run.spec.digest for run in runs})} desks in {folders}"
        )
    label = name or runs[0].config.algo
    policies = tuple(OnnxPolicy(export_policy(run.model), run.record.discrete, label) for run in runs)
    return Entry(policies, runs[0].spec, "trained", label)


def build_leaderboard(
    evaluator: Evaluator,
    trained: Sequence[Entry],
    specs: Sequence[DeskSpec],
    *,
    command: str,
    tape_name: str,
    commit: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Leaderboard:
    """Evaluate what was trained and every fixed policy at `specs`, and rank them by mean PnL.

    Args:
        specs: one desk per kind, for the fixed policies; the trained ones bring their own.
        command: what to type to get this again; recorded as it is.
        progress: called with a line of text before each evaluation.

    Raises:
        EvaluationError: fewer than 5 seeds, or desks with different venues.
    """
    if len(evaluator.config.seeds) < SEEDS_MIN:
        raise EvaluationError(f"expected at least {SEEDS_MIN} seeds, got {evaluator.config.seeds}")
    entries = [*trained, *fixed_entries(evaluator, specs)]
    venues = sorted({entry.spec.params.digest for entry in entries})
    if len(venues) != 1:
        raise EvaluationError(f"expected one venue for all policies, got params digests {[v[:12] for v in venues]}")
    evaluations = []
    for entry in entries:
        if progress is not None:
            progress(f"{entry.name} on {entry.spec.kind}")
        evaluations.append(evaluator.run(entry.policies, entry.spec, entry.kind, entry.name))
    ranked = sorted(evaluations, key=lambda one: (-_mean_pnl(one), one.env, one.policy))
    intervals = tuple(bootstrap_interval([metrics.pnl for metrics in one.per_seed], LEVEL) for one in ranked)
    return Leaderboard(tuple(ranked), intervals, _lead(ranked), evaluator, command, tape_name, commit)


def leaderboard_json(board: Leaderboard) -> dict[str, Any]:
    """Everything on the board as plain data, per-seed figures included (but not the traces)."""
    evaluator, best = board.evaluator, board.evaluations[0]
    config, made, tape = evaluator.config, evaluator.market.instrument, evaluator.market.tape
    return {
        "schema": SCHEMA,
        "version": lobgym.__version__,
        "title": "lobgym leaderboard",
        "command": board.command,
        "commit": board.commit,
        "tape": {"name": board.tape_name, "symbol": made.symbol, "venue": made.venue, "digest": tape.digest},
        "params_digest": best.spec.params.digest,
        "split": config.split,
        "span_ns": list(config.span_ns(evaluator.market, best.spec.interval_ns)),
        "seeds": list(config.seeds),
        "episodes": config.episodes,
        "horizon": config.horizon,
        "episode_seconds": config.horizon * best.spec.interval_ns / 1e9,
        "currency": made.base if made.is_inverse else made.quote,
        "base": "contracts" if made.is_inverse else made.base,
        "level": LEVEL,
        "lead": None if board.lead is None else asdict(board.lead),
        "rows": [
            _row(rank, one, interval)
            for rank, (one, interval) in enumerate(zip(board.evaluations, board.intervals, strict=True), start=1)
        ],
    }


def render_table(board: Leaderboard, width: int = 160) -> Table:
    """The board for a terminal of `width` characters; on a narrow one only the columns that decide."""
    data = leaderboard_json(board)
    rows = data["rows"]
    decimals = shared_decimals(row["pnl"]["mean"] for row in rows)
    columns: list[tuple[str, bool, Callable[[dict[str, Any]], str]]] = [
        ("PnL", True, lambda row: format_fixed(row["pnl"]["mean"], decimals, sign=True)),
        ("interval", True, lambda row: _between(row["pnl"]["low"], row["pnl"]["high"], decimals)),
        ("bps", True, lambda row: _cell(row["pnl_bps"], 2)),
        ("drawdown", False, lambda row: _cell(row["max_drawdown"], decimals)),
        ("fill rate", False, lambda row: "–" if row["fill_rate"] is None else f"{row['fill_rate']:.1%}"),
        ("to fill, ms", False, lambda row: _cell(row["time_to_fill_ms"], 0)),
        ("|inventory|", False, lambda row: _cell(row["mean_abs_inventory"], 4)),
        ("turnover", False, lambda row: _cell(row["turnover"], 0)),
        ("fees", True, lambda row: _cell(row["fees"], decimals)),
    ]
    shown = [column for column in columns if column[1] or width >= WIDE]
    table = Table(
        title=f"PnL per episode, {data['currency']}, {len(data['seeds'])} seeds, {data['level']:.0%} interval",
        caption=None
        if len(shown) == len(columns)
        else f"more columns on the page, and in a terminal of {WIDE} characters",
    )
    for head in ("policy", "env"):
        table.add_column(head, no_wrap=True)
    for head, _, _ in shown:
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        style = "bold" if row["kind"] == "trained" else None
        table.add_row(row["policy"], row["env"], *(cell(row) for _, _, cell in shown), style=style)
    return table


def _between(low: float, high: float, decimals: int) -> str:
    return f"{format_fixed(low, decimals, sign=True)} .. {format_fixed(high, decimals, sign=True)}"


def _row(rank: int, one: Evaluation, interval: Interval) -> dict[str, Any]:
    averaged = {}
    for field in _AVERAGED:
        values = [getattr(metrics, field) for metrics in one.per_seed]
        known = [float(value) for value in values if value is not None]
        averaged[field] = fixed_mean(known) if known else None
    return {
        "rank": rank,
        "policy": one.policy,
        "env": one.env,
        "kind": one.kind,
        "spec_digest": one.spec.digest,
        "pnl": asdict(interval),
        **averaged,
        "per_seed": [asdict(metrics) for metrics in one.per_seed],
    }


def _lead(ranked: Sequence[Evaluation]) -> Interval | None:
    best = {kind: next((one for one in ranked if one.kind == kind), None) for kind in ("trained", "fixed")}
    trained, fixed = best["trained"], best["fixed"]
    if trained is None or fixed is None:
        return None
    return bootstrap_interval([a.pnl - b.pnl for a, b in zip(trained.per_seed, fixed.per_seed, strict=True)], LEVEL)


def _mean_pnl(one: Evaluation) -> float:
    return fixed_mean([metrics.pnl for metrics in one.per_seed])


def _cell(value: float | None, decimals: int) -> str:
    return "–" if value is None else format_fixed(value, decimals)
