"""`lobgym log`: what a session recorded."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from lobgym.experiments.cli.console import JsonFlag, console, print_json
from lobgym.sim.event_log import EVENT_NAMES, SIDE_NAMES, TIF_NAMES, EventLog, read_log
from lobgym.sim.records import REASON_NAMES

__all__ = ["app"]

_SHOWN = ("row", "ns", "lane", "event", "order", "side", "price", "quantity", "reason")

app = typer.Typer(help="Look at event logs.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command("show")
def show_command(
    file: Annotated[Path, typer.Argument(help="A .parquet event log (lobgym.sim.event_log).")],
    rows: Annotated[int, typer.Option("--rows", min=0, max=10_000, help="How many rows of each end to print.")] = 5,
    as_json: JsonFlag = False,
) -> None:
    """Show an event log: its first and last rows, and how often each kind and each reason occurs."""
    log = read_log(file)
    ends = list(range(min(rows, len(log.rows))))
    ends += range(max(len(ends), len(log.rows) - rows), len(log.rows))
    counts = Counter((EVENT_NAMES[kind], REASON_NAMES[why]) for kind, why in log.rows[["kind", "reason"]].tolist())
    if as_json:
        print_json(
            {
                "instrument": f"{log.instrument.venue} {log.instrument.symbol}",
                "rows": len(log.rows),
                "digest": log.digest,
                "counts": [{"kind": kind, "reason": why, "rows": n} for (kind, why), n in sorted(counts.items())],
                "shown": [_readable(log, k) for k in ends],
            }
        )
        return
    table = Table(
        title=f"{log.instrument.venue} {log.instrument.symbol}: {len(log.rows):,} events", title_justify="left"
    )
    for name in _SHOWN:
        table.add_column(name)
    for place, k in enumerate(ends):
        shown = _readable(log, k)
        table.add_row(*(str(shown[name]) for name in _SHOWN))
        if place + 1 == rows and len(log.rows) > 2 * rows:
            table.add_section()
    console.print(table)
    totals = Table("event", "reason", "rows", title=f"digest {log.digest}", title_justify="left")
    for (kind, why), count in sorted(counts.items()):
        totals.add_row(kind, why, f"{count:,}")
    console.print(totals)


def _readable(log: EventLog, k: int) -> dict[str, Any]:
    row = log.rows[k]
    return {
        "row": k,
        "ns": int(row["ns"]),
        "lane": int(row["lane"]),
        "event": EVENT_NAMES[int(row["kind"])],
        "order": int(row["order_id"]),
        "side": SIDE_NAMES[int(row["side"])],
        "tif": TIF_NAMES[int(row["tif"])],
        "price": str(log.instrument.ticks_to_price(int(row["tick"]))),
        "quantity": str(log.instrument.lots_to_qty(int(row["qty"]))),
        "reason": REASON_NAMES[int(row["reason"])],
    }
