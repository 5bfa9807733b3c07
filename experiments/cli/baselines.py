"""`lobgym baseline`: the policies written by hand, what they know of a tape, and one as a bundle."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lobgym.experiments.cli.console import COMPILING, JsonFlag, TapeOption, console, print_json, working

__all__ = ["add_to", "app"]

app = typer.Typer(help="Policies written by hand: list, calibrate, export.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Register the group."""
    root.add_typer(app, name="baseline")


@app.command("list")
def list_command(as_json: JsonFlag = False) -> None:
    """Every policy written by hand, and the kinds of desks that it can act at."""
    from lobgym.agents.baselines import BASELINES

    rows = [
        {"name": name, "kinds": list(one.kinds), "core": one.core, "fitted": one.fitted}
        for name, one in BASELINES.items()
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("name", "kinds", "in every comparison", "fitted to the training part")
    for name, one in BASELINES.items():
        table.add_row(name, " ".join(one.kinds), "yes" if one.core else "", "yes" if one.fitted else "")
    console.print(table)


@app.command("facts")
def facts_command(tape: TapeOption, as_json: JsonFlag = False) -> None:
    """What the training part of a tape says: A, k and sigma, forecasts, edges of regimes, limits of toxicity."""
    from lobgym.agents.baselines import MarketFacts
    from lobgym.envs.markets import market_for
    from lobgym.experiments.bundles.baselines import train_span_ns

    with working(COMPILING):
        market = market_for(tape)
        facts = MarketFacts.of(market, *train_span_ns(market))
    data = facts.to_json()
    if as_json:
        print_json(data)
        return
    found = facts.calibration
    if found is not None:
        line = found.intensity
        console.print(
            f"A {line.rate_per_s:.4g} a second, k {line.decay_per_tick:.4g} a tick (r² {line.r2:.2f}), sigma "
            f"{found.sigma_ticks:.4g} ticks a second, half spread {found.half_spread_ticks:g} ticks, maker fee "
            f"{found.maker_fee_ticks:.4g} ticks",
            highlight=False,
        )
    for forecast in (facts.threshold, facts.linear):
        if forecast is not None:
            console.print(
                f"forecast from {', '.join(forecast.columns)}: r² {forecast.r2:.4f}, thresholds {forecast.enter_bps} "
                f"and {forecast.hold_bps} bps, one trade costs {forecast.cost_bps:.3g} bps",
                highlight=False,
            )
    for what, why in facts.missing.items():
        console.print(f"no {what}: {why}", highlight=False)


@app.command("export")
def export_command(
    policy: Annotated[str, typer.Argument(help="A name and a kind of desk, as `adaptive-grid@grid`.")],
    tape: TapeOption,
    out: Annotated[Path, typer.Option("--out", help="The bundle's folder; must not exist.")],
    name: Annotated[str | None, typer.Option(help="The policy's name: a-z, 0-9, _ and -.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a policy as an ONNX bundle, fitted on the tape's training part, after comparing 20,000 decisions."""
    from lobgym.experiments.bundles.baselines import export_baseline

    with working("comparing every decision on 20,000 observations"):
        result = export_baseline(policy, tape, out, name)
    if as_json:
        print_json(asdict(result))
        return
    console.print(
        f"{result.observations:,} decisions are the same in ONNX, {result.distinct} different ones among them\n"
        f"wrote {result.bundle}; next: lobgym gate {result.bundle} --tape '{tape}'",
        highlight=False,
    )
