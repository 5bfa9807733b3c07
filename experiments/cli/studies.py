"""`lobgym study`: comparisons that cannot flatter, each resumable and spread over all cores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from lobgym.experiments.cli.console import (
    JsonFlag,
    TapeOption,
    command_line,
    console,
    print_json,
    progress_bar,
    working,
)

__all__ = ["add_to", "app"]

app = typer.Typer(help="Studies that cannot flatter: known answers, sweeps, regimes, splits.", no_args_is_help=True)

_WHO: Final = "A bundle's or run's folder, a baseline as `natr-grid@grid`, or `module:function`; repeat it for more."
Who = Annotated[list[str], typer.Option("--policy", help=_WHO)]
Out = Annotated[Path, typer.Option("--out", help="Folder of finished cells, result.json and result.md.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes; 0 for all cores.")]
Backend = Annotated[str, typer.Option("--backend", help="loky, ray or serial.")]
Seeds = Annotated[int, typer.Option("--seeds", min=2, help="Seeds.")]
Episodes = Annotated[int, typer.Option("--episodes", min=1, help="Episodes a seed.")]


def add_to(root: typer.Typer) -> None:
    """Register the group."""
    root.add_typer(app, name="study")


@app.command("agents")
def agents_command(
    what: Annotated[
        list[str] | None, typer.Argument(help="`alpha`, `martingale`, `corrections`; all by default.")
    ] = None,
    seeds: Seeds = 10,
    strength: Annotated[
        list[float] | None, typer.Option("--strength", help="Of the planted alpha; 0.25, 0.5 and 1 by default.")
    ] = None,
    profile: Annotated[str, typer.Option("--profile", help="EarnHFT's: tiny, quick or full.")] = "quick",
    train_minutes: Annotated[float, typer.Option("--train-minutes", help="Length of each training tape.")] = 240.0,
    test_minutes: Annotated[float, typer.Option("--test-minutes", help="Length of each test tape.")] = 120.0,
    out: Out = Path("runs/known-agents"),
    workers: Workers = 0,
    backend: Backend = "loky",
    as_json: JsonFlag = False,
) -> None:
    """Does EarnHFT find a planted alpha, nothing on a martingale, and what is each correction worth?

    Exit status 1 if it misses the bar: 60% of the optimum at the middle strength and above every baseline, and no
    player positive on the martingale. Ctrl-C keeps the finished cells; the same command goes on.
    """
    from lobgym.experiments.errors import EvaluationError
    from lobgym.experiments.known import agents as known

    run: dict[str, Callable[[known.StudyPlan], dict[str, Any]]] = {
        "alpha": lambda plan: known.alpha_agents(plan, strength or known.STRENGTHS),
        "martingale": known.martingale_agents,
        "corrections": known.corrections_table,
    }
    chosen = list(dict.fromkeys(what or known.STUDIES))
    if not set(chosen) <= set(run):
        raise EvaluationError(f"expected of {', '.join(run)}, got {' '.join(chosen)}")
    results = {}
    for name in chosen:
        with progress_bar(name, as_json) as progress:
            plan = known.StudyPlan(
                out / "cells", seeds, profile, train_minutes, test_minutes, progress=progress, workers=workers,
                backend=backend,
            )  # fmt: skip
            results[name] = run[name](plan)
        lines = known.study_lines(results[name])
        _keep(out, name, results[name], lines)
        if not as_json:
            _tell(out, name, lines)
    if as_json:
        print_json(results)
    if any(result["failures"] for result in results.values()):
        raise typer.Exit(1)


@app.command("sweep")
def sweep_command(
    policy: Who,
    tape: TapeOption = "synth:volatile",
    extra_bps: Annotated[list[float] | None, typer.Option("--extra-bps", help="Added to both fees.")] = None,
    delay_ms: Annotated[list[float] | None, typer.Option("--delay-ms", help="Added each way to the venue.")] = None,
    seeds: Seeds = 10,
    episodes: Episodes = 8,
    out: Out = Path("runs/sweep"),
    workers: Workers = 0,
    backend: Backend = "loky",
    as_json: JsonFlag = False,
) -> None:
    """How much cost and how much delay a policy survives, on the part of a tape that no training sees."""
    from lobgym.experiments.studies.sweeps import DELAYS_MS, EXTRA_BPS, sweep, sweep_table

    who, setting = _compared(policy, tape, seeds, episodes)
    with progress_bar("cells", as_json) as progress:
        result = sweep(
            who, setting, out / "cells", extra_bps=extra_bps or EXTRA_BPS, delays_ms=delay_ms or DELAYS_MS,
            progress=progress, workers=workers, backend=backend,
        )  # fmt: skip
    _write(out, "sweep", result, sweep_table(result), as_json)


@app.command("regimes")
def regimes_command(
    policy: Who,
    tape: TapeOption = "synth:volatile",
    seeds: Seeds = 10,
    episodes: Episodes = 8,
    out: Out = Path("runs/regimes"),
    workers: Workers = 0,
    backend: Backend = "loky",
    as_json: JsonFlag = False,
) -> None:
    """Results by volatility, liquidity and trend of the episodes, in thirds."""
    from lobgym.experiments.studies.regimes import regime_study, regime_table

    who, setting = _compared(policy, tape, seeds, episodes)
    with progress_bar("cells", as_json) as progress:
        result = regime_study(who, setting, out / "cells", progress=progress, workers=workers, backend=backend)
    _write(out, "regimes", result, regime_table(result), as_json)


@app.command("random-entry")
def entry_command(
    policy: Who,
    tape: TapeOption = "synth:volatile",
    surrogates: Annotated[int, typer.Option("--surrogates", min=19, help="Arrangements.")] = 99,
    seeds: Seeds = 10,
    episodes: Episodes = 8,
    out: Out = Path("runs/random-entry"),
    workers: Workers = 0,
    backend: Backend = "loky",
    as_json: JsonFlag = False,
) -> None:
    """Was it the timing? A policy against its own actions at random times."""
    from lobgym.experiments.studies.random_entry import entry_study, entry_table

    who, setting = _compared(policy, tape, seeds, episodes)
    with progress_bar("cells", as_json) as progress:
        result = entry_study(
            who, setting, out / "cells", surrogates=surrogates, progress=progress, workers=workers, backend=backend
        )  # fmt: skip
    _write(out, "random-entry", result, entry_table(result), as_json)


@app.command("ablate")
def ablate_command(
    run: Annotated[Path, typer.Argument(help="An EarnHFT run's folder.")],
    tape: TapeOption = "synth:volatile",
    every_agent: Annotated[bool, typer.Option("--every-agent", help="Also each agent of the pool alone.")] = False,
    seeds: Seeds = 10,
    episodes: Episodes = 8,
    out: Out = Path("runs/ablate"),
    workers: Workers = 0,
    backend: Backend = "loky",
    as_json: JsonFlag = False,
) -> None:
    """A hierarchy beside its best single agent, a random router and each constant choice, paired by seed."""
    from lobgym.agents.earnhft.pipeline import load_earnhft
    from lobgym.experiments.studies.ablations import ablation_names
    from lobgym.experiments.studies.paired import paired_study, paired_table

    names = ablation_names(load_earnhft(run), every_agent)
    who, setting = _compared([str(run), *(f"{run}#{name}" for name in names)], tape, seeds, episodes)
    with progress_bar("cells", as_json) as progress:
        result = paired_study(who, setting, out / "cells", progress=progress, workers=workers, backend=backend)
    _write(out, "ablate", result, paired_table(result), as_json)


@app.command("splits")
def splits_command(
    policy: Annotated[str, typer.Option("--policy", help="A baseline as `linear@target`, fitted anew in every fold.")],
    tape: TapeOption = "synth:volatile",
    forward: Annotated[int, typer.Option("--forward", min=0, help="Folds forwards in time; 0 for all choices.")] = 0,
    groups: Annotated[int, typer.Option("--groups", min=2, help="Blocks.")] = 6,
    tests: Annotated[int, typer.Option("--tests", min=1, help="Blocks that are tested at a time.")] = 2,
    embargo_s: Annotated[float, typer.Option("--embargo", help="Seconds behind a test block.")] = 0.0,
    seeds: Seeds = 5,
    episodes: Episodes = 4,
    horizon: Annotated[int, typer.Option("--horizon", min=1, help="Steps of an episode.")] = 120,
    out: Out = Path("runs/splits"),
    workers: Workers = 0,
    backend: Backend = "loky",
    as_json: JsonFlag = False,
) -> None:
    """Purged, embargoed cross-validation: forwards in time, or every choice of blocks joined into histories."""
    from lobgym.experiments.errors import EvaluationError
    from lobgym.experiments.studies.splits import Margin
    from lobgym.experiments.studies.walking import cross_validate, walking_table

    name, _, kind = policy.rpartition("@")
    if not name:
        raise EvaluationError(f"expected a baseline and its desk's kind, as linear@target, got {policy!r}")
    scheme: dict[str, Any] = {"kind": "combinatorial", "groups": groups, "tests": tests}
    if forward:
        scheme = {"kind": "forward", "folds": forward, "anchored": True}
    with progress_bar("folds", as_json) as progress:
        result = cross_validate(
            tape, scheme, {"name": name, "kind": kind}, out / "cells", margin=Margin(embargo_ns=round(embargo_s * 1e9)),
            seeds=tuple(range(seeds)), episodes=episodes, horizon=horizon, progress=progress, workers=workers,
            backend=backend,
        )  # fmt: skip
    _write(out, "splits", result, walking_table(result), as_json)


@app.command("sharpe")
def sharpe_command(
    policy: Annotated[str, typer.Option("--policy", help=_WHO)],
    trials: Annotated[Path, typer.Option("--trials", help="The ledger, trials.jsonl beside the run folders.")],
    tape: TapeOption = "synth:volatile",
    on_this_tape: Annotated[bool, typer.Option("--this-tape", help="Count only what was tried on this tape.")] = False,
    seeds: Seeds = 10,
    episodes: Episodes = 8,
    as_json: JsonFlag = False,
) -> None:
    """Probabilistic and deflated Sharpe ratio over a policy's episodes, with as many trials as the ledger knows."""
    from lobgym.experiments.evaluation.episodes import play
    from lobgym.experiments.evaluation.sharpe import deflate_by_ledger

    (who,), setting = _compared([policy], tape, seeds, episodes)
    with working("playing"):
        market = setting.market()
        opened, spec = who.open(market, setting.interval_ns, train=setting.train(market))
        pnl = play(market, spec, opened, setting.config).pnl
    returns = [market.instrument.money_to_float(units) for units in pnl.tolist()]
    verdict = deflate_by_ledger(returns, trials, setting.tape_digest if on_this_tape else None)
    if as_json:
        print_json({"policy": who.name, "tape_digest": setting.tape_digest, **verdict.to_json()})
        return
    source = f"the ratios of {verdict.known}" if verdict.known else "the spread of ratios without skill"
    console.print(
        f"{who.name}: {verdict.moments.count} episodes, ratio {verdict.moments.sharpe:+.3f} an episode. Above 0 with "
        f"probability {verdict.psr:.3f}; above {verdict.benchmark:.3f}, the best of {verdict.trials} trials without "
        f"skill ({source}), with {verdict.dsr:.3f}.",
        highlight=False,
    )


def _compared(policies: list[str], tape: str, seeds: int, episodes: int) -> tuple[Any, Any]:
    """Who takes part, and where: the test part of a tape, cut as the leaderboard cuts it."""
    from lobgym.experiments.evaluation.study import Study
    from lobgym.experiments.studies.contestants import Contestant
    from lobgym.experiments.studies.setting import Setting

    with working("compiling the market (the first time on a machine also the kernels: a minute)"):
        study = Study.of(tape)
    who = [Contestant.of(text) for text in policies]
    return who, Setting.of(tape, study.evaluation(seeds, episodes), study.interval_ns)


def _write(out: Path, name: str, result: dict[str, Any], lines: list[str], as_json: bool) -> None:
    """Keep a study's result, and show it."""
    _keep(out, name, result, lines)
    if as_json:
        print_json(result)
    else:
        _tell(out, name, lines)


def _keep(out: Path, name: str, result: dict[str, Any], lines: list[str]) -> None:
    """NAME.json and NAME.md, each aside and then renamed."""
    import msgspec

    from lobgym.experiments.files import write_text
    from lobgym.experiments.source import commit_of_source

    data = {"command": command_line(), "commit": commit_of_source(), **result}
    write_text(out / f"{name}.json", msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")
    write_text(out / f"{name}.md", "\n".join(lines) + "\n")


def _tell(out: Path, name: str, lines: list[str]) -> None:
    typer.echo("\n".join(lines))
    console.print(f"wrote {out / name}.json and .md", highlight=False)
