"""`lobgym market`: what a market is like, and how alike two are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from lobgym.experiments.cli import flows, known, queues
from lobgym.experiments.cli.console import JsonFlag, console, print_json, working

if TYPE_CHECKING:
    from lobgym.sim.measures import Measures

__all__ = ["app"]

app = typer.Typer(help="Measure markets and compare them.", no_args_is_help=True)


queues.add_to(app)
flows.add_to(app)
known.add_to(app)


@app.command("compare")
def compare_command(
    a: Annotated[str, typer.Argument(help="What to compare with: a .parquet tape, or a name as `synth:calm?seed=3`.")],
    b: Annotated[str, typer.Argument(help="What is compared with it, likewise.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write a page with charts, an .html file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """How alike two tapes are: spread, depth, imbalance, flow, volatility, memory, and responses to trades.

    Distributions are compared by Wasserstein-1 in standard deviations of A and by L1 of their histograms (0 to 2),
    figures by their relative difference, curves by standard errors. docs/compare.md has every formula.
    """
    from lobgym.experiments.compare import compare

    of_a, of_b = _measured(a), _measured(b)
    data = compare(of_a, of_b, (a, b))
    if out is not None:
        _write_page(out, data, of_a, of_b)
    if as_json:
        print_json(data)
        return
    for key in "ab":
        one = data[key]
        console.print(
            f"{key.upper()}: {one['name']}, {one['venue']} {one['symbol']}, {one['span_s']:,.1f} s, "
            f"{one['rows']:,} rows, {one['prints']:,} prints",
            highlight=False,
        )
    for table in _tables(data):
        console.print(table)
    if out is not None:
        console.print(f"page: {out}", highlight=False)


def _measured(name: str) -> Measures:
    from lobgym.sim.errors import MeasureError
    from lobgym.sim.market import Market
    from lobgym.sim.measures import measure
    from lobgym.sim.tape import open_tape

    with working(f"measuring {name}"):
        market = Market.compile(open_tape(name))
        try:
            return measure(market)
        except MeasureError as error:
            raise MeasureError(f"{name}: {error}") from None


def _write_page(out: Path, data: dict[str, Any], a: Measures, b: Measures) -> None:
    import lobgym
    from lobgym.experiments.cli.console import command_line
    from lobgym.experiments.files import write_text
    from lobgym.experiments.pages.comparison import render_comparison
    from lobgym.experiments.source import commit_of_source

    commit = commit_of_source()
    facts = [
        ("command", command_line()),
        *((f"tape {key.upper()}", f"{data[key]['name']}, sha256 {data[key]['tape_digest']}") for key in "ab"),
        *([("commit", commit)] if commit else []),
        ("version", f"lobgym {lobgym.__version__}"),
    ]
    write_text(out, render_comparison(data, a, b, facts))


def _tables(data: dict[str, Any]) -> list[Table]:
    """Scalars, distributions (of depth only the best level), curves."""
    from lobgym.experiments.compare import unit_of
    from lobgym.experiments.pages.comparison import SHOWN_DISTRIBUTIONS

    scalars = Table("figure", "unit", "A", "B", "B to A")
    distributions = Table("distribution", "unit", "mean A", "mean B", "W1 / std A", "L1")
    curves = Table("curve", "points", "apart, in standard errors")
    for name, one in data["measures"].items():
        away = one["distance"]
        if one["kind"] == "scalar":
            share = "-" if away["relative"] is None else f"{away['relative']:+.1%}"
            scalars.add_row(name, unit_of(data, one), _figure(one["a"]), _figure(one["b"]), share)
        elif one["kind"] == "curve":
            curves.add_row(name, str(away["points"]), _figure(away["per_standard_error"]))
        elif name in SHOWN_DISTRIBUTIONS:
            means = (_figure(one[side]["mean"]) for side in "ab")
            apart = (_figure(away[key]) for key in ("wasserstein_per_std", "l1"))
            distributions.add_row(name, unit_of(data, one), *means, *apart)
    overall = data["overall"]
    distributions.caption = (
        f"mean over all, with depth at levels 2 to 10: W1 / std A {_figure(overall['wasserstein_per_std_mean'])}, "
        f"L1 {_figure(overall['l1_mean'])}"
    )
    return [scalars, distributions, curves]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
