"""`lobgym market known`: two markets whose answer is known beforehand."""

from __future__ import annotations

from typing import Annotated

import typer

from lobgym.experiments.cli.console import JsonFlag, print_json, working

__all__ = ["add_to", "known_command"]


def add_to(market: typer.Typer) -> None:
    """Register the command in the group `market`."""
    market.command("known")(known_command)


def known_command(
    what: Annotated[list[str] | None, typer.Argument(help="`martingale`, `alpha`; both by default.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Tapes of the martingale.")] = 100,
    minutes: Annotated[float, typer.Option("--minutes", help="Length of each.")] = 20.0,
    alpha_seeds: Annotated[int, typer.Option("--alpha-seeds", min=1, help="Tapes of each planted strength.")] = 30,
    hours: Annotated[float, typer.Option("--hours", help="Length of each.")] = 2.0,
    as_json: JsonFlag = False,
) -> None:
    """Ask two markets whose answer is known; exit status 1 if it is another.

    On a martingale without fees takers pay the half spread and no rule earns, and a planted edge of 0.2 bp is found.
    Where the sizes of the best quotes predict the price, the optimal policy earns what was computed. About four
    minutes of one processor core. docs/known-answers.md has the laws, the method and the figures.
    """
    from lobgym.experiments.known.answers import WHAT, known_answers, report

    with working("asking markets with known answers"):
        result = known_answers(what or WHAT, seeds, minutes, alpha_seeds, hours)
    if as_json:
        print_json(result.to_json())
    else:
        typer.echo("\n".join(report(result)))
    if result.failures:
        raise typer.Exit(1)
