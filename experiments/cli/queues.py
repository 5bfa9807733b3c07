"""`lobgym market score-queues`: queue models against orders whose fate is known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from lobgym.experiments.cli.console import JsonFlag, console, print_json, progress_bar, working
from lobgym.experiments.errors import ExperimentError
from lobgym.experiments.queue_score import HiddenMarkets, play, read_bitstamp_orders, score
from lobgym.experiments.queue_score.report import HEADS, cancellation_rows, render_page, table_rows
from lobgym.experiments.report_html import write_text
from lobgym.experiments.source import commit_of_source

__all__ = ["RECORDING", "add_to", "score_queues"]

RECORDING: Final = "bitstamp_l3/btcusd_20150501_00-12h_feed.log.bz2"
_ROOT: Final = Path(__file__).resolve().parents[2]


def add_to(market: typer.Typer) -> None:
    """Register the command in the group `market`."""
    market.command("score-queues")(score_queues)


def score_queues(
    recording: Annotated[
        Path | None, typer.Option("--recording", help="A Bitstamp log of single orders; by default the one known.")
    ] = None,
    every: Annotated[int, typer.Option("--every", min=1, help="Play every n-th order only.")] = 1,
    resamples: Annotated[int, typer.Option("--resamples", min=100, max=100_000, help="Of the bootstrap.")] = 1_000,
    out: Annotated[Path | None, typer.Option("--out", help="Also write a page, an .html file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Score the queue models against real orders.

    Every order that came to rest is taken out of the recorded book and played as an own order in its place, under each
    queue model: was it filled, when, by how much, and where did it stand in the queue? What really happened is known.
    """
    log = recording or Path(os.environ.get("LOBGYM_RECORDINGS") or _ROOT.parent / "shared" / "data") / RECORDING
    if not log.is_file():
        raise ExperimentError(f"no recording {log}: name one with --recording, or its folder with LOBGYM_RECORDINGS")
    with working(f"reading {log.name}"):
        recorded = read_bitstamp_orders(log)
    probes = recorded.probes[::every]
    if not probes:
        raise ExperimentError(f"{log}: no order came to rest in a book that was known; nothing can be scored")
    with progress_bar("orders", as_json) as progress:
        played = play(HiddenMarkets(recorded.tape), probes, progress=progress)
    with working("scoring"):
        result: dict[str, Any] = {
            "command": f"lobgym market score-queues --every {every} --resamples {resamples}",
            "commit": commit_of_source(),
            "every": every,
            "recording": {"name": log.name, "tape": recorded.tape.digest, "facts": recorded.facts},
            **score(probes, played, resamples=resamples),
        }
    if out is not None:
        write_text(out, render_page(result))
    if as_json:
        print_json(result)
        return
    _show(result)
    if out is not None:
        console.print(f"wrote {out}", highlight=False)


def _show(result: dict[str, Any]) -> None:
    for name, regime in result["regimes"].items():
        truth = regime["truth"]
        _print(f"{name}: {truth['probes']:,} orders, {truth['filled']:,} filled", HEADS, table_rows(regime))
    _print("who cancels?", *cancellation_rows(result["recording"]["facts"]["cancellations"]))
    console.print(
        f"{result['probes']:,} orders, {result['not_placed']:,} not placed; intervals are in --json", highlight=False
    )


def _print(title: str, heads: Any, rows: list[list[str]]) -> None:
    table = Table(*heads, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
