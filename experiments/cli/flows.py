"""`lobgym market calibrate`: a background flow fitted to a tape."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from lobgym.experiments.cli.console import JsonFlag, console, print_json, progress_bar, working

__all__ = ["add_to", "calibrate_command"]


def add_to(market: typer.Typer) -> None:
    """Register the command in the group `market`."""
    market.command("calibrate")(calibrate_command)


def calibrate_command(
    tape: Annotated[str, typer.Argument(help="What to fit to: a .parquet tape, or `synth?seed=3&minutes=20`.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write, JSON.")],
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=1 << 40, help="Of the simulations that it is fitted on.")
    ] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Fit the reactive background flow to a tape.

    Rates, sizes and excitation are counted on the tape; then simulated hours correct four parameters until mean spread,
    depth at the best prices, prints a second and volatility of a second are the tape's. docs/flow.md has every formula.
    """
    from lobgym.sim.flow.calibrate import TOLERANCE, Round, calibrate
    from lobgym.sim.market import Market
    from lobgym.sim.tape import open_tape

    with working(f"compiling {tape}"):
        market = Market.compile(open_tape(tape))
    with progress_bar("fitting", as_json) as progress:

        def on_round(made: Round) -> None:
            progress(made.number, made.rounds_max)

        fitted = calibrate(market, seed, on_round)
    fitted.save(out)
    target, achieved = fitted.target._asdict(), fitted.achieved._asdict()
    away = fitted.achieved.away(fitted.target)
    missed = [name for name, value in away.items() if abs(value) > TOLERANCE]
    if as_json:
        data: dict[str, Any] = {"tape": tape, "tape_digest": fitted.tape_digest, "out": str(out), "seed": seed}
        data |= {"rounds": fitted.rounds, "digest": fitted.flow.digest}
        print_json({**data, "target": target, "achieved": achieved, "away": away, "missed": missed})
        return
    table = Table("figure", "tape", "simulated", "away", title=f"{fitted.rounds} rounds")
    for name, value in target.items():
        table.add_row(name, f"{value:,.4g}", f"{achieved[name]:,.4g}", f"{away[name]:+.1%}")
    console.print(table)
    if missed:
        console.print(
            f"more than {TOLERANCE:.0%} away after {fitted.rounds} rounds: {', '.join(missed)}", highlight=False
        )
    console.print(f"wrote {out}", highlight=False)
