"""`lobgym tape`: recordings in, figures out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lobgym.experiments.cli import imports
from lobgym.experiments.cli.console import TAPE_HELP, JsonFlag, console, print_json, working
from lobgym.sim.instrument import load_instrument
from lobgym.sim.tape import Tape, TapeReport, inspect, open_tape

__all__ = ["app"]

app = typer.Typer(help="Import recordings, generate tapes, look at them.", no_args_is_help=True)
importers = typer.Typer(help="Make a tape of a raw recording.", no_args_is_help=True)
app.add_typer(importers, name="import")


@importers.command("binance")
def import_binance_command(
    files: Annotated[list[Path], typer.Argument(help="The files of ONE recording, in any order.")],
    out: Annotated[Path, typer.Option("--out", help="Where the tape goes, a .parquet file.")],
    instrument: Annotated[
        Path | None, typer.Option("--instrument", help="JSON file of an instrument that is not built in.")
    ] = None,
    base_latency_ms: Annotated[
        float, typer.Option(min=0.0, max=10_000.0, help="Latency that the fastest message is taken to have had.")
    ] = 1.0,
    as_json: JsonFlag = False,
) -> None:
    """Import raw Binance streams: depth, bookTicker, trade, markPrice, and one REST snapshot.

    Spot, USD-M or COIN-M is told from the messages. The offset of the receiving clock is measured, corrected and
    recorded; sequence gaps become explicit resets of the book; prints that are no market prints are left out and
    counted.
    """
    from lobgym.sim.importers.binance import import_binance

    given = None if instrument is None else load_instrument(instrument)
    with working(f"reading {', '.join(file.name for file in files)}"):
        tape = import_binance(files, given, int(base_latency_ms * 1e6))
    tape.save(out)
    _show(tape, as_json, f"wrote {out}")


@app.command("inspect")
def inspect_command(
    tape: Annotated[str, typer.Argument(help=TAPE_HELP)],
    as_json: JsonFlag = False,
) -> None:
    """Show what is on a tape: span, rows, rates, spread, gaps, digest, provenance."""
    with working("reading"):
        opened = open_tape(tape)
    _show(opened, as_json, None)


@app.command("make")
def make_command(
    name: Annotated[str, typer.Argument(help="A generated tape, as `synth:calm?seed=3&minutes=20`.")],
    out: Annotated[Path, typer.Option("--out", help="Where the tape goes, a .parquet file.")],
    as_json: JsonFlag = False,
) -> None:
    """Write a generated tape to a file."""
    with working("generating"):
        tape = open_tape(name)
        tape.save(out)
    _show(tape, as_json, f"wrote {out}")


@app.command("scenarios")
def scenarios_command(as_json: JsonFlag = False) -> None:
    """List the generated markets: names, what happens in them, parameters with their defaults."""
    from lobgym.sim.scenarios import COMMON, PREFIX, SCENARIOS

    if as_json:
        print_json({"scenarios": [one.to_json() for one in SCENARIOS.values()]})
        return
    width = max(len(name) for name in SCENARIOS) + len(PREFIX)
    for one in SCENARIOS.values():
        own = ", ".join(f"{p.name}={p.default:g}" for p in one.extra)
        line = f"{PREFIX + one.name:{width}}  {one.about}" + (f" ({own})" if own else "")
        console.print(line, highlight=False, soft_wrap=True)
    common = "; ".join(f"{p.name}={p.default:g}: {p.about}, {p.values}" for p in COMMON)
    console.print(f"all take {common}", highlight=False, soft_wrap=True)


def _show(tape: Tape, as_json: bool, done: str | None) -> None:
    report = inspect(tape)
    if as_json:
        print_json(report.to_json())
        return
    console.print(_table(report))
    if done is not None:
        console.print(done, highlight=False)


def _plain(value: object) -> str:
    """Provenance for a reader: nested data as lines, hashes shortened."""
    if isinstance(value, dict):
        return "\n".join(f"{key.replace('_', ' ')}: {_plain(one)}" for key, one in value.items())
    if isinstance(value, list):
        return "\n".join(_inline(one) if isinstance(one, dict) else _plain(one) for one in value) or "none"
    return f"{value:,}" if isinstance(value, int) and abs(value) < 10**15 else str(value)


def _inline(value: dict[str, object]) -> str:
    return ", ".join(f"{key} {str(one)[:16] if key == 'sha256' else one}" for key, one in value.items())


def _table(report: TapeReport) -> Table:
    table = Table(title=f"{report.venue} {report.symbol}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.rows_by_kind.items())
    rows = [
        ("digest", report.digest),
        ("span", f"{report.span_s:,.1f} s from {report.start_ns} ns"),
        ("rows", f"{report.rows:,} ({kinds})"),
        (
            "rates",
            f"{report.rows_per_s:,.0f} rows/s, {report.messages_per_s:,.1f} messages/s, "
            f"{report.prints_per_s:,.1f} prints/s",
        ),
        ("traded", f"{report.traded_lots:,} lots"),
        ("mid", f"{report.price_min_ticks:,} to {report.price_max_ticks:,} ticks"),
        (
            "spread",
            f"mean {report.spread_ticks_mean:.2f}, median {report.spread_ticks_median}, max {report.spread_ticks_max} "
            f"ticks; two-sided {report.two_sided_share:.2%} of the time",
        ),
        (
            "gaps",
            f"{report.gaps}; longest silence {report.silence_s_max:,.2f} s; "
            f"crossed states {report.crossed_states} of {report.book_states:,}",
        ),
        (
            "feed latency",
            f"median {report.feed_latency_ns_median / 1e6:.2f} ms, max {report.feed_latency_ns_max / 1e6:.2f} ms; "
            f"{report.raced_rows:,} rows overtaken",
        ),
    ]
    if report.halts:
        rows.append(("halts", f"{report.halts}, {report.halted_s:,.1f} s in all"))
    if report.settlements:
        rows.append(("funding", f"{report.settlements} settlements"))
    rows += [(key.replace("_", " "), _plain(value)) for key, value in report.provenance.items()]
    for key, value in rows:
        table.add_row(key, value)
    return table


imports.add_to(importers, app, _show)
