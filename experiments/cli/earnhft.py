"""`lobgym earnhft`: the three stages of a hierarchical agent, from a tape to a run folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lobgym.experiments.cli.console import (
    COMPILING,
    JsonFlag,
    TapeOption,
    console,
    print_json,
    stage_bars,
    working,
)
from lobgym.experiments.cli.training import ConfigOption, show_settings

__all__ = ["add_to"]


class Profile(StrEnum):
    """Where a run's settings start from."""

    tiny = "tiny"
    short = "short"
    quick = "quick"
    full = "full"


def earnhft(
    tape: TapeOption = "synth:volatile?minutes=240",
    profile: Annotated[
        Profile,
        typer.Option(
            help="tiny: seconds, learns little. short: for recordings of minutes. quick: a minute or two. full: the "
            "published counts."
        ),
    ] = Profile.quick,
    seed: Annotated[int, typer.Option(min=0, help="Of networks, sampling and lanes.")] = 0,
    out: Annotated[Path, typer.Option("--out", help="Run folder; a run that is there goes on.")] = Path("runs/earnhft"),
    workers: Annotated[int, typer.Option(min=0, help="Processes side by side; 0: one a core.")] = 0,
    frictionless: Annotated[
        bool, typer.Option("--frictionless", help="No latency and 1.5 bps, as published; else the tape's own venue.")
    ] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="With the published code's errors, none of them corrected.")
    ] = False,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="One correction less, as `double`; repeatable.")
    ] = None,
    config: ConfigOption = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, as `low.samples=80`; repeatable.")
    ] = None,
    show: Annotated[bool, typer.Option("--show-config", help="Print all settings as YAML and stop.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train a hierarchy in the manner of EarnHFT: a teacher that knows the future, a pool of agents, and a router.

    Targets positions, on a tape's first 60%; the next 20% decide which agents and which router are kept; the rest is
    for judging. Ctrl-C loses nothing: the same command goes on. Afterwards `export` makes one bundle of it, `evaluate`
    and `leaderboard` judge it, and `study ablate` asks what the hierarchy is worth.
    """
    made = _config_of(tape, profile, seed, out, workers, frictionless, reference, without or [], config, setting or [])
    if show:
        show_settings(made, as_json)
        return
    from lobgym.agents.earnhft.pipeline import train_earnhft
    from lobgym.envs.markets import market_for
    from lobgym.experiments.source import commit_of_source

    with working(COMPILING):
        market = market_for(made.tape)
    with stage_bars(as_json) as progress:
        result = train_earnhft(made, progress, commit_of_source(), market)
    if as_json:
        from msgspec import to_builtins

        print_json({"run": str(result.folder), **to_builtins(result.record)})
        return
    counts = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in result.counts.items())
    console.print(f"{result.folder}: {counts}", highlight=False)
    console.print(f"lobgym export {result.folder} --out {result.folder}-bundle", highlight=False)


def _config_of(
    tape: str, profile: Profile, seed: int, out: Path, workers: int, frictionless: bool, reference: bool,
    without: list[str], config: Path | None, settings: list[str],
) -> Any:  # fmt: skip
    from lobgym.agents.earnhft.config import Corrections, EarnHftConfig
    from lobgym.agents.sb3.defaults import assignment, merged, read_settings

    said = {"tape": tape, "seed": seed, "out": str(out), "workers": workers}
    base = EarnHftConfig.profile_of(profile.value, **said)
    layers = [*([read_settings(config)] if config else []), *(assignment(one) for one in settings)]
    # Another interval has another number of decisions in the router's minute.
    macro = {} if any("macro_steps" in layer for layer in layers) else {"macro_steps": 0}
    if not any("interval_ns" in layer for layer in layers):
        macro = {}
    made = EarnHftConfig.from_json(merged(base.to_json(), *layers, macro))
    corrections = Corrections.reference() if reference else made.corrections
    for name in without:
        corrections = corrections.without(name)
    return made.replace(corrections=corrections, frictionless=frictionless or made.frictionless)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("earnhft")(earnhft)
