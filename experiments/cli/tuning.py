"""`lobgym tune`: a search over the settings of a training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from lobgym.experiments.cli.console import COMPILING, JsonFlag, TapeOption, console, print_json, progress_bar, working
from lobgym.experiments.cli.training import (
    Algo,
    AlgoOption,
    ConfigOption,
    EnvKind,
    EnvOption,
    SetOption,
    layers_of,
    refuse_others,
)

__all__ = ["add_to"]

_VALIDATIONS: Final = 5
_CHECKPOINTS: Final = 5


def tune(
    context: typer.Context,
    algo: AlgoOption = Algo.ppo,
    env: EnvOption = EnvKind.grid,
    tape: TapeOption = "synth:volatile",
    trials: Annotated[int | None, typer.Option(min=1, help="Trainings, pruned ones included. Default: 50.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, one training and one thread each.")] = 1,
    steps: Annotated[int | None, typer.Option(min=1, help="Transitions of a training.")] = None,
    lanes: Annotated[int | None, typer.Option(min=1, help="Episodes that run side by side in a training.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the trainings and of the search.")] = 0,
    out: Annotated[Path, typer.Option("--out", help="Folder of the study; must be new or empty.")] = Path("runs/tune"),
    config: ConfigOption = None,
    setting: SetOption = None,
    space: Annotated[
        Path | None, typer.Option("--space", help="A YAML file with `search: {ALGO: ...}` in place of the defaults'.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on with a study; beside it --workers, and --trials for more.")
    ] = None,
    confirm: Annotated[
        Path | None,
        typer.Option("--confirm", help="Train a study's best settings and its first ones anew, and compare them."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Of --confirm: trainings of each.")] = 5,
    as_json: JsonFlag = False,
) -> None:
    """Search for better settings: train with many, compare them on validation episodes, stop bad ones early.

    Neither trainings nor validations see the part of the tape that is kept for testing. Workers, and this command, may
    be killed: nothing is lost, --resume goes on. Ctrl-C ends it with what it has. The best settings are in
    OUT/best.yml, for `train --config`; watch with `optuna-dashboard sqlite:///OUT/study.db`. Whether they are better
    than what the search began with says --confirm OUT, on episodes that no trial has seen.
    """
    from lobgym.agents.sb3.tune import resume_tune
    from lobgym.agents.sb3.tune import tune as run_tune

    if confirm is not None:
        refuse_others(context, "confirm", "seeds", "as_json")
        _confirm(confirm, seeds, as_json)
        return
    if resume is not None:
        refuse_others(context, "resume", "trials", "workers", "as_json")
        with progress_bar("trials", as_json) as progress:
            _report(resume_tune(resume, workers, trials, progress), as_json)
        return
    made = _study_of(algo, env, tape, trials, steps, lanes, seed, out, layers_of(config, setting), space)
    with progress_bar("trials", as_json) as progress:
        _report(run_tune(made, out, workers, progress), as_json)


def _study_of(
    algo: Algo,
    env: EnvKind,
    tape: str,
    trials: int | None,
    steps: int | None,
    lanes: int | None,
    seed: int,
    out: Path,
    layers: list[dict[str, Any]],
    space: Path | None,
) -> Any:
    from lobgym.agents.sb3.defaults import read_defaults
    from lobgym.agents.sb3.tuning import TuneConfig
    from lobgym.experiments.evaluation.study import Study

    with working(COMPILING):
        study = Study.of(tape)
    base = study.train_config(algo.value, env.value, steps, seed, out, lanes, *layers)
    said = {name for layer in layers for name in layer}
    if "validate_every" not in said:
        base = base.replace(validate_every=math.ceil(base.total_steps / _VALIDATIONS))
    if "checkpoint_every" not in said:
        base = base.replace(checkpoint_every=math.ceil(base.total_steps / _CHECKPOINTS))
    search = read_defaults(env.value, space).search.get(algo.value, {})
    return TuneConfig(base.to_json(), search, trials=trials or 50, seed=seed)


def _confirm(folder: Path, seeds: int, as_json: bool) -> None:
    from lobgym.experiments.evaluation.confirm import confirm

    with progress_bar("trainings", as_json) as progress:
        made = confirm(folder, seeds, progress=progress)
    if as_json:
        print_json(made.to_json())
        return
    table = Table("settings", "interquartile mean", "low", "high", title=f"{made.measure}, {len(made.seeds)} seeds")
    for name, one in (("start", made.start), ("best", made.best), ("best - start", made.difference)):
        table.add_row(name, f"{one.iqm:.6g}", f"{one.low:.6g}", f"{one.high:.6g}")
    console.print(table)
    said = "the best settings are better, intervals apart" if made.better else "the intervals are not apart"
    console.print(f"{said}; written to {folder / 'confirm.json'}", highlight=False, soft_wrap=True)


def _report(result: Any, as_json: bool) -> None:
    counts = result.counts
    data = {
        "study": str(result.folder),
        "trials": counts.finished,
        "complete": counts.complete,
        "pruned": counts.pruned,
        "failed": counts.failed,
        "workers_restarted": result.restarts,
        "interrupted": result.interrupted,
        "best_score": result.score,
        "best_run": str(result.run) if result.run else None,
        "best": result.best,
    }
    if as_json:
        print_json(data)
        return
    console.print(
        f"{counts.finished} trials: {counts.complete} complete, {counts.pruned} pruned, {counts.failed} failed; "
        f"{result.restarts} workers started again",
        highlight=False,
    )
    if result.best:
        table = Table("setting", "best", title=f"score {result.score:.6g}")
        for name, value in sorted(_flat(result.best).items()):
            table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
        console.print(table)
    if result.interrupted:
        console.print(f"next: lobgym tune --resume {result.folder}", highlight=False, soft_wrap=True)
    elif result.best:
        console.print(f"next: lobgym train --config {result.folder / 'best.yml'} ...", highlight=False, soft_wrap=True)


def _flat(settings: dict[str, Any], before: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in settings.items():
        made |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return made


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(tune)
