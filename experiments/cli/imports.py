"""`lobgym tape import` for formats other than Binance's, and `lobgym tape export`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from lobgym.experiments.cli.console import TAPE_HELP, JsonFlag, console, print_json, working
from lobgym.sim.errors import InstrumentError
from lobgym.sim.instrument import Instrument, find_instrument, load_instrument
from lobgym.sim.tape import Tape, open_tape

__all__ = ["add_to"]

Show: TypeAlias = Callable[[Tape, bool, str | None], None]

OutOption = Annotated[Path, typer.Option("--out", help="Where the tape goes, a .parquet file.")]
InstrumentOption = Annotated[
    Path | None, typer.Option("--instrument", help="JSON file of an instrument that is not built in.")
]
LeastLatency = Annotated[
    float,
    typer.Option(
        "--least-latency-ms",
        min=0.0,
        max=10_000.0,
        help="Receive stamps are shifted, all by the same, where a message would have taken less than this.",
    ),
]


def add_to(importers: typer.Typer, tape: typer.Typer, show: Show) -> None:
    """Add the commands: the imports to `tape import`, the export to `tape`. `show` prints what was imported."""
    _add_hftbacktest(importers, tape, show)
    _add_tardis(importers, show)
    _add_lobster(importers, show)
    _add_bitstamp(importers, show)


def _names(files: list[Path]) -> str:
    return f"reading {', '.join(file.name for file in files)}"


def _add_hftbacktest(importers: typer.Typer, tape_commands: typer.Typer, show: Show) -> None:
    @importers.command("hftbacktest")
    def import_hftbacktest_command(
        file: Annotated[Path, typer.Argument(help="The .npz file of events.")],
        out: OutOption,
        venue: Annotated[str, typer.Option("--venue", help="Venue of a built-in instrument.")] = "",
        symbol: Annotated[str, typer.Option("--symbol", help="Symbol of a built-in instrument.")] = "",
        instrument: InstrumentOption = None,
        drop_one_sided: Annotated[
            bool,
            typer.Option(
                "--drop-one-sided",
                help="Leave out rows for the exchange or the receiver only that have no counterpart, instead of "
                "refusing the file.",
            ),
        ] = False,
        least_latency_ms: LeastLatency = 0.0,
        as_json: JsonFlag = False,
    ) -> None:
        """Import an hftbacktest event file: levels, prints, clears, snapshots, best quotes, both stamps.

        The file does not say what it is of: name a built-in instrument by venue and symbol, or give an instrument file.
        """
        from lobgym.sim.importers.hftbacktest import import_hftbacktest

        with working(_names([file])):
            tape = import_hftbacktest(
                file, _named(venue, symbol, instrument), int(least_latency_ms * 1e6), drop_one_sided
            )
        tape.save(out)
        show(tape, as_json, f"wrote {out}")

    @tape_commands.command("export")
    def export_command(
        tape: Annotated[str, typer.Argument(help=TAPE_HELP)],
        out: Annotated[Path, typer.Option("--out", help="Where the events go, an .npz file.")],
        as_json: JsonFlag = False,
    ) -> None:
        """Write a tape as an hftbacktest event file. Mark prices, funding and halts have no place in one."""
        from lobgym.sim.importers.hftbacktest import export_hftbacktest

        with working("writing"):
            left_out = export_hftbacktest(open_tape(tape), out)
        if as_json:
            print_json({"rows_left_out_by_kind": left_out})
        else:
            rest = ", ".join(f"{count:,} of kind {kind}" for kind, count in left_out.items())
            console.print(f"wrote {out}; left out: {rest or 'nothing'}", highlight=False)


def _named(venue: str, symbol: str, instrument: Path | None) -> Instrument:
    if instrument is not None:
        return load_instrument(instrument)
    if not venue or not symbol:
        raise InstrumentError(
            "the file does not say what it is of: give --venue and --symbol, or --instrument FILE.json"
        )
    return find_instrument(venue, symbol)


def _add_tardis(importers: typer.Typer, show: Show) -> None:
    @importers.command("tardis")
    def import_tardis_command(
        files: Annotated[list[Path], typer.Argument(help="The CSV files of ONE symbol, plain or gzip, in any order.")],
        out: OutOption,
        instrument: InstrumentOption = None,
        least_latency_ms: LeastLatency = 0.0,
        as_json: JsonFlag = False,
    ) -> None:
        """Import Tardis's CSV files: incremental_book_L2, and trades, book_ticker or quotes, derivative_ticker.

        Which file is which is told by its columns. incremental_book_L2 is needed; what comes before its first snapshot
        is left out and counted.
        """
        from lobgym.sim.importers.tardis import import_tardis

        given = None if instrument is None else load_instrument(instrument)
        with working(_names(files)):
            tape = import_tardis(files, given, int(least_latency_ms * 1e6))
        tape.save(out)
        show(tape, as_json, f"wrote {out}")


def _add_lobster(importers: typer.Typer, show: Show) -> None:
    @importers.command("lobster")
    def import_lobster_command(
        files: Annotated[list[Path], typer.Argument(help="The message file and the orderbook file of ONE day.")],
        out: OutOption,
        date: Annotated[dt.datetime, typer.Option("--date", formats=["%Y-%m-%d"], help="The day of the files.")],
        symbol: Annotated[str, typer.Option("--symbol", help="Ticker of a stock in cents, single shares.")] = "",
        instrument: InstrumentOption = None,
        timezone: Annotated[str, typer.Option("--timezone", help="Whose midnight the seconds count from.")] = "",
        latency_us: Annotated[
            float, typer.Option(min=0.0, max=10_000_000.0, help="How much later each event is taken to be seen.")
        ] = 0.0,
        as_json: JsonFlag = False,
    ) -> None:
        """Import a LOBSTER pair: levels from the orderbook file, prints and trading halts from the message file.

        A level that leaves the view keeps what it last showed. Prices must be multiples of the tick: a cent, unless an
        instrument file says otherwise.
        """
        from lobgym.sim.importers.lobster import TIMEZONE, Day, import_lobster, stock

        if instrument is None and not symbol:
            raise InstrumentError("the files do not say what they are of: give --symbol, or --instrument FILE.json")
        given = stock(symbol) if instrument is None else load_instrument(instrument)
        with working(_names(files)):
            tape = import_lobster(files, given, Day(date.date(), timezone or TIMEZONE, int(latency_us * 1e3)))
        tape.save(out)
        show(tape, as_json, f"wrote {out}")


def _add_bitstamp(importers: typer.Typer, show: Show) -> None:
    @importers.command("bitstamp")
    def import_bitstamp_command(
        files: Annotated[list[Path], typer.Argument(help="The log of the feed, the table of its orders, or both.")],
        out: OutOption,
        orders_out: Annotated[
            Path | None, typer.Option("--orders-out", help="Where every order's events go, another .parquet file.")
        ] = None,
        instrument: InstrumentOption = None,
        latency_ms: Annotated[
            float, typer.Option(min=0.0, max=10_000.0, help="How long before its receipt each event took place.")
        ] = 0.0,
        as_json: JsonFlag = False,
    ) -> None:
        """Import Bitstamp's single orders of 2015: an order tape, and the levels and prints derived from it.

        The side of a print is inferred; how, and how well the levels agree with the feed's own pictures of the book, is
        in the tape's provenance.
        """
        from lobgym.sim.importers.bitstamp import BTCUSD, import_bitstamp

        given = BTCUSD if instrument is None else load_instrument(instrument)
        with working(_names(files)):
            tape, orders = import_bitstamp(files, given, int(latency_ms * 1e6))
        if orders_out is not None:
            orders.save(orders_out)
        tape.save(out)
        show(tape, as_json, f"wrote {out}" + (f" and {orders_out}" if orders_out else ""))
