"""`lobgym market score-queues`: queue models against orders whose fate is known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from lobgym.experiments.cli.console import JsonFlag, console, print_json, progress_bar, working
from lobgym.experiments.errors import ExperimentError
from lobgym.experiments.files import write_text
from lobgym.experiments.queue_score import HiddenMarkets, play, read_bitstamp_orders, score
from lobgym.experiments.queue_score.report import (
    HEADS,
    cancellation_rows,
    feed_rows,
    render_page,
    studies_of,
    table_rows,
)
from lobgym.experiments.source import commit_of_source

__all__ = ["EVERY_OF_FLOW", "RECORDING", "add_to", "score_queues"]

RECORDING: Final = "bitstamp_l3/btcusd_20150501_00-12h_feed.log.bz2"
EVERY_OF_FLOW: Final = 50  # an exchange has some tens of thousands of orders a minute
_ROOT: Final = Path(__file__).resolve().parents[2]


def add_to(market: typer.Typer) -> None:
    """Register the command in the group `market`."""
    market.command("score-queues")(score_queues)


def score_queues(
    recording: Annotated[
        Path | None, typer.Option("--recording", help="A Bitstamp log of single orders; by default the one known.")
    ] = None,
    exchange: Annotated[
        bool, typer.Option("--exchange", help="Orders of an exchange with its background flow, and not a recording.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the exchange.")] = 0,
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, max=1_440.0, help="Of the exchange.")] = 5.0,
    every: Annotated[
        int | None,
        typer.Option(
            "--every",
            min=1,
            help="Play every n-th order only: by default all of a recording, 50 of an exchange's flow.",
        ),
    ] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=100, max=100_000, help="Of the bootstrap.")] = 1_000,
    out: Annotated[Path | None, typer.Option("--out", help="Also write a page, an .html file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Score the queue models against real orders.

    Every order that came to rest is taken out of the recorded book and played as an own order in its place, under each
    queue model: was it filled, when, by how much, and where did it stand in the queue? What really happened is known.
    With --exchange the market is a simulated one, and depth is published at once and in batches.
    """
    if exchange and recording is not None:
        raise ExperimentError("--exchange makes its own market: it takes no --recording")
    if exchange:
        result = _of_exchange(seed, minutes, every or EVERY_OF_FLOW, resamples, as_json)
    else:
        result = _of_recording(recording, every or 1, resamples, as_json)
    if out is not None:
        write_text(out, render_page(result))
    if as_json:
        print_json(result)
        return
    _show(result)
    if out is not None:
        console.print(f"wrote {out}", highlight=False)


def _of_recording(recording: Path | None, every: int, resamples: int, as_json: bool) -> dict[str, Any]:
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
        return {
            "command": f"lobgym market score-queues --every {every} --resamples {resamples}",
            "commit": commit_of_source(),
            "every": every,
            "recording": {"name": log.name, "tape": recorded.tape.digest, "facts": recorded.facts},
            **score(probes, played, resamples=resamples),
        }


def _of_exchange(seed: int, minutes: float, every: int, resamples: int, as_json: bool) -> dict[str, Any]:
    from lobgym.experiments.queue_score.exchange_study import study_exchange
    from lobgym.sim.flow import ReactiveFlow

    flow = ReactiveFlow()
    with progress_bar("orders", as_json) as progress:
        study = study_exchange(flow, seed, int(minutes * 60e9), every, progress=progress)
    with working("scoring"):
        words = f"--exchange --seed {seed} --minutes {minutes:g} --every {every} --resamples {resamples}"
        facts = {"flow": flow.digest, **study.facts}
        return {
            "command": f"lobgym market score-queues {words}",
            "commit": commit_of_source(),
            "every": every,
            "recording": {"name": f"{minutes:g} minutes of an exchange, seed {seed}", "facts": facts},
            "feeds": study.scores(resamples),
        }


def _show(result: dict[str, Any]) -> None:
    feeds = studies_of(result)
    for feed, study in feeds.items():
        for name, regime in study["regimes"].items():
            truth = regime["truth"]
            title = f"{feed}: {name}" if feed else name
            _print(f"{title}: {truth['probes']:,} orders, {truth['filled']:,} filled", HEADS, table_rows(regime))
    if len(feeds) > 1:
        _print("the feeds compared", *feed_rows(feeds))
    _print("who cancels?", *cancellation_rows(result["recording"]["facts"]["cancellations"]))
    for feed, study in feeds.items():
        console.print(
            f"{feed or result['recording']['name']}: {study['probes']:,} orders, {study['not_placed']:,} not placed; "
            "intervals are in --json",
            highlight=False,
        )


def _print(title: str, heads: Any, rows: list[list[str]]) -> None:
    table = Table(*heads, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
