"""`lobgym study`: comparisons that cannot flatter, each resumable and spread over all cores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from lobgym.experiments.cli.console import TapeOption, console, print_json, working
from lobgym.experiments.cli.study_runs import StudyRun, study_command

__all__ = ["add_to", "app"]

app = typer.Typer(help="Studies that cannot flatter: known answers, sweeps, regimes, splits.", no_args_is_help=True)

_WHO: Final = "A bundle's or run's folder, a baseline as `natr-grid@grid`, or `module:function`; repeat it for more."
Who = Annotated[list[str], typer.Option("--policy", help=_WHO)]


def add_to(root: typer.Typer) -> None:
    """Register the group."""
    root.add_typer(app, name="study")


@study_command(app, "agents", "episodes", out=Path("runs/known-agents"))
def agents_command(
    what: Annotated[
        list[str] | None, typer.Argument(help="`alpha`, `martingale`, `corrections`; all by default.")
    ] = None,
    strength: Annotated[
        list[float] | None, typer.Option("--strength", help="Of the planted alpha; 0.25, 0.5 and 1 by default.")
    ] = None,
    profile: Annotated[str, typer.Option("--profile", help="EarnHFT's: tiny, quick or full.")] = "quick",
    train_minutes: Annotated[float, typer.Option("--train-minutes", help="Length of each training tape.")] = 240.0,
    test_minutes: Annotated[float, typer.Option("--test-minutes", help="Length of each test tape.")] = 120.0,
    *,
    study: StudyRun,
) -> None:
    """Does EarnHFT find a planted alpha, nothing on a martingale, and what is each correction worth?

    Exit status 1 if it misses the bar: 60% of the optimum at the middle strength and above every baseline, and no
    player positive on the martingale. Ctrl-C keeps the finished cells; the same command goes on.
    """
    from lobgym.experiments.errors import EvaluationError
    from lobgym.experiments.known import agents as known

    asked: dict[str, Callable[[known.StudyPlan], dict[str, Any]]] = {
        "alpha": lambda plan: known.alpha_agents(plan, strength or known.STRENGTHS),
        "martingale": known.martingale_agents,
        "corrections": known.corrections_table,
    }
    chosen = list(dict.fromkeys(what or known.STUDIES))
    if not set(chosen) <= set(asked):
        raise EvaluationError(f"expected of {', '.join(asked)}, got {' '.join(chosen)}")
    results = {}
    for name in chosen:
        with study.jobs(name) as jobs:
            plan = known.StudyPlan(study.cells, study.seeds, profile, train_minutes, test_minutes, **jobs)
            results[name] = asked[name](plan)
        lines = known.study_lines(results[name])
        study.keep(name, results[name], lines)
        if not study.as_json:
            study.tell(name, lines)
    if study.as_json:
        print_json(results)
    if any(result["failures"] for result in results.values()):
        raise typer.Exit(1)


@study_command(app, "sweep")
def sweep_command(
    policy: Who,
    tape: TapeOption = "synth:volatile",
    extra_bps: Annotated[list[float] | None, typer.Option("--extra-bps", help="Added to both fees.")] = None,
    delay_ms: Annotated[list[float] | None, typer.Option("--delay-ms", help="Added each way to the venue.")] = None,
    *,
    study: StudyRun,
) -> None:
    """How much cost and how much delay a policy survives, on the part of a tape that no training sees."""
    from lobgym.experiments.studies.sweeps import DELAYS_MS, EXTRA_BPS, sweep, sweep_table

    who, setting = _compared(policy, tape, study)
    with study.jobs() as jobs:
        result = sweep(
            who, setting, study.cells, extra_bps=extra_bps or EXTRA_BPS, delays_ms=delay_ms or DELAYS_MS, **jobs
        )
    study.write("sweep", result, sweep_table(result))


@study_command(app, "regimes")
def regimes_command(
    policy: Who,
    tape: TapeOption = "synth:volatile",
    *,
    study: StudyRun,
) -> None:
    """Results by volatility, liquidity and trend of the episodes, in thirds."""
    from lobgym.experiments.studies.regimes import regime_study, regime_table

    who, setting = _compared(policy, tape, study)
    with study.jobs() as jobs:
        result = regime_study(who, setting, study.cells, **jobs)
    study.write("regimes", result, regime_table(result))


@study_command(app, "random-entry")
def entry_command(
    policy: Who,
    tape: TapeOption = "synth:volatile",
    surrogates: Annotated[int, typer.Option("--surrogates", min=19, help="Arrangements.")] = 99,
    *,
    study: StudyRun,
) -> None:
    """Was it the timing? A policy against its own actions at random times."""
    from lobgym.experiments.studies.random_entry import entry_study, entry_table

    who, setting = _compared(policy, tape, study)
    with study.jobs() as jobs:
        result = entry_study(who, setting, study.cells, surrogates=surrogates, **jobs)
    study.write("random-entry", result, entry_table(result))


@study_command(app, "ablate")
def ablate_command(
    run: Annotated[Path, typer.Argument(help="An EarnHFT run's folder.")],
    tape: TapeOption = "synth:volatile",
    every_agent: Annotated[bool, typer.Option("--every-agent", help="Also each agent of the pool alone.")] = False,
    *,
    study: StudyRun,
) -> None:
    """A hierarchy beside its best single agent, a random router and each constant choice, paired by seed."""
    from lobgym.agents.earnhft.pipeline import load_earnhft
    from lobgym.experiments.studies.ablations import ablation_names
    from lobgym.experiments.studies.paired import paired_study, paired_table

    names = ablation_names(load_earnhft(run), every_agent)
    who, setting = _compared([str(run), *(f"{run}#{name}" for name in names)], tape, study)
    with study.jobs() as jobs:
        result = paired_study(who, setting, study.cells, **jobs)
    study.write("ablate", result, paired_table(result))


@study_command(app, "splits", seeds=5, episodes=4)
def splits_command(
    policy: Annotated[str, typer.Option("--policy", help="A baseline as `linear@target`, fitted anew in every fold.")],
    tape: TapeOption = "synth:volatile",
    forward: Annotated[int, typer.Option("--forward", min=0, help="Folds forwards in time; 0 for all choices.")] = 0,
    groups: Annotated[int, typer.Option("--groups", min=2, help="Blocks.")] = 6,
    tests: Annotated[int, typer.Option("--tests", min=1, help="Blocks that are tested at a time.")] = 2,
    embargo_s: Annotated[float, typer.Option("--embargo", help="Seconds behind a test block.")] = 0.0,
    horizon: Annotated[int, typer.Option("--horizon", min=1, help="Steps of an episode.")] = 120,
    *,
    study: StudyRun,
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
    with study.jobs("folds") as jobs:
        result = cross_validate(
            tape, scheme, {"name": name, "kind": kind}, study.cells, margin=Margin(embargo_ns=round(embargo_s * 1e9)),
            seeds=tuple(range(study.seeds)), episodes=study.episodes, horizon=horizon, **jobs,
        )  # fmt: skip
    study.write("splits", result, walking_table(result))


@study_command(app, "sharpe", "out", "workers", "backend")
def sharpe_command(
    policy: Annotated[str, typer.Option("--policy", help=_WHO)],
    trials: Annotated[Path, typer.Option("--trials", help="The ledger, trials.jsonl beside the run folders.")],
    tape: TapeOption = "synth:volatile",
    on_this_tape: Annotated[bool, typer.Option("--this-tape", help="Count only what was tried on this tape.")] = False,
    *,
    study: StudyRun,
) -> None:
    """Probabilistic and deflated Sharpe ratio over a policy's episodes, with as many trials as the ledger knows."""
    from lobgym.experiments.evaluation.episodes import play
    from lobgym.experiments.evaluation.sharpe import deflate_by_ledger, side_by_side

    (who,), setting = _compared([policy], tape, study)
    with working("playing"):
        market = setting.market()
        opened, spec = who.open(market, setting.interval_ns, train=setting.train(market))
        pnl = play(market, spec, opened, setting.config).pnl
    returns = [market.instrument.money_to_float(units) for units in pnl.tolist()]
    low, high = setting.config.span_ns(market, spec.interval_ns)
    apart = side_by_side(high - low, setting.config.horizon * spec.interval_ns)
    verdict = deflate_by_ledger(returns, trials, setting.tape_digest if on_this_tape else None, apart)
    if study.as_json:
        facts = {"policy": who.name, "tape_digest": setting.tape_digest, "episodes": len(returns)}
        print_json({**facts, **verdict.to_json()})
        return
    source = f"the ratios of {verdict.known}" if verdict.known else "the spread of ratios without skill"
    console.print(
        f"{who.name}: {len(returns)} episodes, which count as {verdict.moments.count} that share no time; ratio "
        f"{verdict.moments.sharpe:+.3f} an episode. Above 0 with "
        f"probability {verdict.psr:.3f}; above {verdict.benchmark:.3f}, the best of {verdict.trials} trials without "
        f"skill ({source}), with {verdict.dsr:.3f}.",
        highlight=False,
    )


def _compared(policies: list[str], tape: str, run: StudyRun) -> tuple[Any, Any]:
    """Who takes part, and where: the test part of a tape, cut as the leaderboard cuts it."""
    from lobgym.experiments.evaluation.study import Study
    from lobgym.experiments.studies.contestants import Contestant
    from lobgym.experiments.studies.setting import Setting

    with working("compiling the market (the first time on a machine also the kernels: a minute)"):
        cut = Study.of(tape)
    who = [Contestant.of(text) for text in policies]
    return who, Setting.of(tape, cut.evaluation(run.seeds, run.episodes), cut.interval_ns)
