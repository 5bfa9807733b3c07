"""`lobgym train`, `export`, `bench`, `demo`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

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

__all__ = ["add_to"]


COMPILING: Final = "compiling the market (the first time on a machine also the kernels: a minute)"


class Algo(StrEnum):
    """Algorithms of `train`."""

    ppo = "ppo"
    dqn = "dqn"


_ENV_HELP: Final = (
    "grid: quoting parameters. target: a position to hold. maker: a two-sided quote. execution: a parent order."
)


class EnvKind(StrEnum):
    """Environments of `train`."""

    grid = "grid"
    target = "target"
    maker = "maker"
    execution = "execution"


def train(
    algo: Annotated[Algo, typer.Option(help="dqn needs --env target.")] = Algo.ppo,
    env: Annotated[EnvKind, typer.Option(help=_ENV_HELP)] = EnvKind.grid,
    tape: TapeOption = "synth:volatile",
    steps: Annotated[int, typer.Option(min=1, help="Transitions, over all lanes.")] = 200_000,
    lanes: Annotated[int, typer.Option(min=1, help="Episodes that run side by side.")] = 64,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option("--out", help="Run folder; must be new or empty.")] = Path("runs/train"),
    as_json: JsonFlag = False,
) -> None:
    """Train on the first part of a tape; its last part, behind an embargo, is kept for the leaderboard.

    Watch it with `tensorboard --logdir RUN/logs`. Ctrl-C saves what has been learned so far.
    """
    from lobgym.agents.train import train as run_training
    from lobgym.experiments.source import commit_of_source
    from lobgym.experiments.study import Study

    with working(COMPILING):
        study = Study.of(tape)
    config = study.train_config(algo.value, env.value, steps, seed, out, lanes)
    with progress_bar("steps", as_json) as progress:
        result = run_training(config, progress, commit_of_source())
    record = result.record
    data = {
        "run": str(result.folder),
        "steps": record.steps,
        "steps_per_second": round(record.steps_per_second, 1),
        "seed": record.seed,
        "tape_digest": record.tape_digest,
        "weights_sha256": record.weights_sha256,
        "interrupted": record.interrupted,
    }
    if as_json:
        print_json(data)
        return
    for key, value in data.items():
        console.print(f"{key:>16}  {value}", highlight=False)
    console.print(f"next: lobgym export {out} --out {out / 'bundle'}", highlight=False)


def export(
    run: Annotated[Path, typer.Argument(help="Run folder that `lobgym train` wrote.")],
    out: Annotated[Path, typer.Option("--out", help="The bundle's folder; must not exist.")],
    name: Annotated[str | None, typer.Option(help="The policy's name: a-z, 0-9, _ and -.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Export a trained policy as an ONNX bundle, after proving that it decides as the model does."""
    from lobgym.experiments.export import export_run

    with working("comparing every decision on 20,000 observations"):
        result = export_run(run, out, name)
    data = {"bundle": str(result.bundle), "onnx_sha256": result.onnx_sha256, "parity": result.parity.to_json()}
    if as_json:
        print_json(data)
        return
    parity = result.parity
    console.print(
        f"{parity.observations:,} observations ({parity.extremes} made up): {parity.flips} decisions differ, raw "
        f"outputs within {parity.raw_difference_max:.1e}, {parity.distinct_actions} distinct actions, margin at least "
        f"{parity.margin_min:.1e}",
        highlight=False,
    )
    console.print(f"wrote {result.bundle}; next: lobgym gate {result.bundle} --tape '{result.tape}'", highlight=False)


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
    from lobgym.experiments.leaderboard import render_table

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
    """Register the commands."""
    for command in (train, export, bench, demo):
        app.command()(command)
