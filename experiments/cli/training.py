"""`lobgym train`, `evaluate`, `export`."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from lobgym.experiments.cli.console import (
    COMPILING,
    JsonFlag,
    TapeOption,
    command_line,
    console,
    print_json,
    progress_bar,
    working,
)
from lobgym.experiments.errors import ExperimentError

__all__ = [
    "Algo",
    "AlgoOption",
    "ConfigOption",
    "EnvKind",
    "EnvOption",
    "SetOption",
    "add_to",
    "layers_of",
    "refuse_others",
    "show_settings",
]

_VALIDATIONS: Final = 10  # of a run, where its options say nothing else
_CHECKPOINTS: Final = 5


class Algo(StrEnum):
    """Algorithms of `train` and `tune`, by rl_zoo3's names."""

    ppo = "ppo"
    dqn = "dqn"
    sac = "sac"
    qrdqn = "qrdqn"
    ppo_lstm = "ppo_lstm"


class EnvKind(StrEnum):
    """Environments of `train` and `tune`."""

    grid = "grid"
    target = "target"
    maker = "maker"
    execution = "execution"
    router = "router"


class Which(StrEnum):
    """Which model of a run."""

    last = "last"
    best = "best"


_ALGO_HELP: Final = (
    "ppo and ppo_lstm (with memory) act everywhere; dqn and qrdqn choose, for --env target and router; sac is for the "
    "others."
)
_ENV_HELP: Final = (
    "grid: quoting parameters. target: a position to hold. maker: a two-sided quote. execution: a parent order. "
    "router: who acts for the next minute."
)
AlgoOption = Annotated[Algo, typer.Option(help=_ALGO_HELP)]
EnvOption = Annotated[EnvKind, typer.Option(help=_ENV_HELP)]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="A YAML file of settings over the defaults, as --show-config prints it.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="One setting over those, as `ppo.learning_rate=3e-4`; repeatable.")
]


def train(
    context: typer.Context,
    algo: AlgoOption = Algo.ppo,
    env: EnvOption = EnvKind.grid,
    tape: TapeOption = "synth:volatile",
    steps: Annotated[int | None, typer.Option(min=1, help="Transitions, over all lanes.")] = None,
    lanes: Annotated[int | None, typer.Option(min=1, help="Episodes that run side by side.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Run folder; must be new or empty. Default: runs/ALGO/ENV_N, the next free N."),
    ] = None,
    config: ConfigOption = None,
    setting: SetOption = None,
    validate_every: Annotated[
        int | None, typer.Option(min=0, help="Transitions between validations; 0: none. Default: a tenth of the run.")
    ] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(min=0, help="Transitions between checkpoints; 0: none. Default: a fifth of the run.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on with a run that was killed or interrupted; no other options.")
    ] = None,
    show_config: Annotated[bool, typer.Option("--show-config", help="Print all settings as YAML and stop.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train on the first part of a tape; its last part, behind an embargo, is kept for evaluation.

    Settings come from the environment's defaults, then --config, then --set, then the other options. Watch a run with
    `tensorboard --logdir RUN/logs`. Ctrl-C saves what has been learned so far; --resume goes on from the last
    checkpoint, to the same weights that the run would have had.
    """
    if resume is not None:
        refuse_others(context, "resume", "as_json")
        _report(_resumed(resume, as_json), as_json)
        return
    from lobgym.agents.sb3.train import train as run_training
    from lobgym.experiments.source import commit_of_source

    made, why_not = _config_of(
        tape, algo, env, steps, lanes, seed, out, layers_of(config, setting), validate_every, checkpoint_every
    )
    if show_config:
        show_settings(made, as_json)
        return
    with progress_bar("steps", as_json) as progress:
        result = run_training(made, progress, commit_of_source(), command=command_line())
    _report(result, as_json, why_not)


def evaluate(
    source: Annotated[list[Path], typer.Argument(help="Run folders and bundles.")],
    tape: TapeOption = "synth:volatile",
    split: Annotated[str, typer.Option(help="Part of the tape: test, train or all.")] = "test",
    seeds: Annotated[int, typer.Option(min=1, help="Each fixes the starts of its episodes.")] = 5,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes a seed.")] = 8,
    horizon: Annotated[int | None, typer.Option(min=1, help="Steps of an episode. Default: as in training.")] = None,
    which: Annotated[
        Which, typer.Option(help="Of a run: its last model, or the one that validated best.")
    ] = Which.last,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the figures to this JSON file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Play runs and bundles in their own environments on a part of a tape, and print what came of it.

    The default is the part that no training sees. Parent orders are judged by their cost, all else by money earned,
    fees paid; intervals (95%) are over seeds. To compare policies with the fixed ones, use `leaderboard`.
    """
    from lobgym.agents.files import write_json
    from lobgym.experiments.evaluation.assess import assess, open_subject
    from lobgym.experiments.source import commit_of_source

    with working(COMPILING):
        subjects = [open_subject(one, which.value) for one in source]
    made = []
    for subject in subjects:
        with progress_bar(subject.name, as_json) as progress:
            made.append(assess(subject, tape, split, seeds, episodes, horizon, progress))
    data: dict[str, Any] = {
        "schema": "lobgym.evaluation/1",
        "command": command_line(),
        "commit": commit_of_source(),
        "evaluations": [one.to_json() for one in made],
    }
    if out is not None:
        write_json(out, data)
    if as_json:
        print_json(data)
        return
    table = Table("policy", "measure", "mean", "low", "high", "fees", "fills", "drawdown")
    for one in made:
        figures = (one.interval.mean, one.interval.low, one.interval.high)
        others = (one.mean(name) for name in ("fees", "fills", "max_drawdown"))
        label = "cost, bps" if one.measure == "cost_bps" else "PnL"
        table.add_row(one.subject, label, *(f"{x:.4g}" for x in figures), *(f"{x:.4g}" for x in others))
    console.print(table)
    console.print(
        f"{split} part of {tape}: {seeds} seeds of {episodes} episodes; money an episode, in the settlement currency; "
        "low and high: 95% over the seeds",
        highlight=False,
    )


def export(
    run: Annotated[Path, typer.Argument(help="Run folder that `lobgym train` or `lobgym earnhft` wrote.")],
    out: Annotated[Path, typer.Option("--out", help="The bundle's folder; must not exist.")],
    name: Annotated[str | None, typer.Option(help="The policy's name: a-z, 0-9, _ and -.")] = None,
    agent: Annotated[
        int | None, typer.Option("--agent", min=0, help="Of a run of `earnhft`: one agent of its pool alone.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Export a trained policy as an ONNX bundle, after proving that it decides as the model does."""
    from lobgym.experiments.bundles.export import export_run

    with working("comparing every decision on 20,000 observations"):
        result = export_run(run, out, name, agent)
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


def layers_of(config: Path | None, settings: list[str] | None) -> list[dict[str, Any]]:
    """What --config and --set say, in their order."""
    from lobgym.agents.sb3.defaults import assignment, read_settings

    return [*([read_settings(config)] if config else []), *(assignment(one) for one in settings or [])]


def _config_of(
    tape: str,
    algo: Algo,
    env: EnvKind,
    steps: int | None,
    lanes: int | None,
    seed: int,
    out: Path | None,
    layers: list[dict[str, Any]],
    validate_every: int | None,
    checkpoint_every: int | None,
) -> tuple[Any, str]:
    """The config of a run, and why it does not validate, if it would by default but cannot."""
    from lobgym.agents.sb3.environment import validation_fits
    from lobgym.agents.sb3.zoo import next_folder
    from lobgym.experiments.evaluation.study import Study

    with working(COMPILING):
        study = Study.of(tape)
    made = study.train_config(algo.value, env.value, steps, seed, out or Path("runs/train"), lanes, *layers)
    if out is None and not any("out" in layer for layer in layers):
        made = made.replace(out=str(next_folder(Path("runs"), made)))
    said = {name for layer in layers for name in layer}
    why_not = ""
    if checkpoint_every is not None or "checkpoint_every" not in said:
        every = math.ceil(made.total_steps / _CHECKPOINTS) if checkpoint_every is None else checkpoint_every
        made = made.replace(checkpoint_every=every)
    if validate_every is not None:
        made = made.replace(validate_every=validate_every)
    elif "validate_every" not in said:
        wanted = made.replace(validate_every=math.ceil(made.total_steps / _VALIDATIONS))
        why_not = validation_fits(wanted)
        made = made if why_not else wanted
    return made, why_not


def _resumed(run: Path, as_json: bool) -> Any:
    from lobgym.agents.sb3.train import resume
    from lobgym.experiments.source import commit_of_source

    with progress_bar("steps", as_json) as progress:
        return resume(run, progress, commit_of_source())


def _report(result: Any, as_json: bool, unvalidated: str = "") -> None:
    record = result.record
    best = record.best
    data = {
        "run": str(result.folder),
        "steps": record.steps,
        "steps_per_second": round(record.steps_per_second, 1),
        "seed": record.seed,
        "tape_digest": record.tape_digest,
        "weights_sha256": record.weights_sha256,
        "best_steps": best.steps if best else None,
        "best_score": best.score if best else None,
        "interrupted": record.interrupted,
        "not_validated": unvalidated or None,
    }
    if as_json:
        print_json(data)
        return
    for key, value in data.items():
        if value is not None:
            console.print(f"{key:>16}  {value}", highlight=False, soft_wrap=True)
    if record.interrupted:
        console.print(f"next: lobgym train --resume {result.folder}", highlight=False, soft_wrap=True)
    else:
        console.print(f"next: lobgym evaluate {result.folder}", highlight=False, soft_wrap=True)


def show_settings(config: Any, as_json: bool) -> None:
    """All settings, as YAML or JSON."""
    if as_json:
        print_json(config.to_json())
        return
    import yaml

    typer.echo(yaml.safe_dump(config.to_json(), sort_keys=False), nl=False)


def refuse_others(context: typer.Context, *fine: str) -> None:
    """Options beside one that takes everything from elsewhere would be ignored: say so instead."""
    given = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name not in fine and source is not None and source.name == "COMMANDLINE":
            given.append(parameter.opts[0])
    if given:
        raise ExperimentError(f"--{fine[0]} takes everything from the run: drop {', '.join(given)}")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (train, evaluate, export):
        app.command()(command)
