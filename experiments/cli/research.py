"""`lobgym bench`, `demo`, and the commands of training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lobgym.experiments.bench.report import BENCHES, BenchRow, run_bench
from lobgym.experiments.cli.console import (
    JsonFlag,
    TapeOption,
    command_line,
    console,
    notes,
    print_json,
    progress_bar,
    working,
)
from lobgym.experiments.cli.training import add_to as add_training
from lobgym.experiments.cli.tuning import add_to as add_tuning

__all__ = ["add_to"]


def bench(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(sorted(BENCHES))}.")],
    case: Annotated[list[str] | None, typer.Option("--case", help="Only this case; repeatable.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="The cases that take minutes and gigabytes, too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Measure. Every figure is the median of its runs, beside a peer or a limit measured in the same run."""
    if as_json:
        for row in run_bench(name, case, everything):
            print_json(row.to_json())
            sys.stdout.flush()
        return
    table = Table("case", "value", "unit", "range", "peer", "peer value", "ratio")
    with working("measuring ..."):
        for row in run_bench(name, case, everything):
            table.add_row(*_bench_cells(row))
    console.print(table)


def demo(
    tape: TapeOption = "synth:volatile",
    out: Annotated[Path, typer.Option("--out", help="Where to; the first free of OUT, OUT-2, ...")] = Path("runs/demo"),
    quick: Annotated[bool, typer.Option("--quick", help="A minute's worth of training.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """The whole way: train, export, gate, serve on paper, replay, and a leaderboard with a page to look at.

    Exit status 1 if a gate fails or the replay differs. What the policies earn does not decide it.
    """
    from lobgym.experiments.demo import PAPER_JOURNAL, DemoPlan, Reporter, run_demo, summary
    from lobgym.experiments.evaluation.leaderboard import render_table

    with progress_bar("", as_json) as bar:
        reporter = Reporter(
            stage=lambda text: None if as_json else notes.rule(text, align="left", style="dim"),
            line=lambda text: None if as_json else notes.print(f"  {text}", highlight=False),
            progress=lambda label, done, total: bar(done, total),
        )
        result = run_demo(tape, out, DemoPlan.quick() if quick else DemoPlan(), reporter, command_line())
    if as_json:
        print_json(summary(result))
    else:
        console.print(render_table(result.board, console.width))
        console.print(f"gate report   {result.export.bundle / 'gates.md'}", highlight=False)
        console.print(f"journal       {result.folder / PAPER_JOURNAL}", highlight=False)
        console.print(f"page          {result.page}", highlight=False)
    if not result.ok:
        raise typer.Exit(1)


def _bench_cells(row: BenchRow) -> list[str]:
    if row.skipped is not None:
        return [row.case, "-", row.unit, f"skipped: {row.skipped}", "", "", ""]
    return [
        row.case,
        _figure(row.value),
        row.unit,
        f"{_figure(row.min)} to {_figure(row.max)}",
        row.peer or "",
        _figure(row.peer_value),
        "" if row.ratio is None else f"{row.ratio:.3g}",
    ]


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module and those of training, which come first."""
    add_training(app)
    add_tuning(app)
    for command in (bench, demo):
        app.command()(command)
