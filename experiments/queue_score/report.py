"""The scores for readers: as lines of a table, and as one HTML page that loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any, Final

from lobgym.experiments.pages.svg import Series, format_fixed, line_chart

__all__ = ["HEADS", "cancellation_rows", "feed_rows", "render_page", "studies_of", "table_rows"]

HEADS: Final = (
    "model", "hits", "late", "missed", "false", "correct", "filled share, error", "sup distance",
    "front after 1 s, RMSE", "10 s", "60 s", "600 s", "10 s, mean error",
)  # fmt: skip
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_DRAWN: Final = (("risk_averse", "buy"), ("optimistic", "sell"))
# The share of what is cancelled that stood before an order, by the share of the level that stands before it.
_CLAIMS: Final[tuple[tuple[str, Callable[[float], float]], ...]] = (
    ("risk_averse", lambda f: 0.0),
    ("power3 n=3", lambda f: f**3),
    ("power3 n=2", lambda f: f**2),
    ("power n=3", lambda f: f**3 / (f**3 + (1 - f) ** 3)),
    ("power n=2", lambda f: f**2 / (f**2 + (1 - f) ** 2)),
    ("power n=1", lambda f: f),
    ("power2 n=2", lambda f: 1 - (1 - f) ** 2),
    ("power2 n=3", lambda f: 1 - (1 - f) ** 3),
    ("optimistic", lambda f: 1.0),
)


def table_rows(regime: Mapping[str, Any]) -> list[list[str]]:
    """One row of text for each model, under HEADS."""
    return [
        [
            name,
            *(f"{figures[key]:,}" for key in ("hits", "late", "missed", "false")),
            _figure(figures["correct"], 5),
            _figure(figures["filled_share_error"], 5, sign=True),
            _figure(figures["survival"]["sup_distance"], 4),
            *(_figure(front["rmse"], 4) for front in figures["front"]),
            _figure(figures["front"][1]["mean_error"], 4, sign=True),
        ]
        for name, figures in regime["models"].items()
    ]


def studies_of(result: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """What `score` gave, by feed; a recording has one feed, without a name."""
    feeds: Mapping[str, Mapping[str, Any]] = result.get("feeds") or {"": result}
    return feeds


def feed_rows(feeds: Mapping[str, Mapping[str, Any]], regime: str = "all") -> tuple[list[str], list[list[str]]]:
    """Heads and rows: what each model gets wrong under each feed of the same market."""
    heads, rows = ["model"], [[name] for name in next(iter(feeds.values()))["regimes"][regime]["models"]]
    for feed, study in feeds.items():
        heads += [f"{feed}: late / missed / false", "filled share, error", "front after 1 s, RMSE", "10 s"]
        for row, figures in zip(rows, study["regimes"][regime]["models"].values(), strict=True):
            row += [
                " / ".join(f"{figures[key]:,}" for key in ("late", "missed", "false")),
                _figure(figures["filled_share_error"], 5, sign=True),
                *(_figure(front["rmse"], 4) for front in figures["front"][:2]),
            ]
    return heads, rows


def cancellation_rows(places: Sequence[Mapping[str, float]]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: how often a cancellation stood before an order, and what the models take that share to be."""
    heads = ["share of the level before the order", "cancellations", "of those before it", *(n for n, _ in _CLAIMS)]
    rows = [
        [f"{one['before_it']:.2f}", f"{one['orders']:,}", f"{one['cancelled_before_it']:.2f}"]
        + [f"{claim(one['before_it']):.2f}" for _, claim in _CLAIMS]
        for one in places
    ]
    return heads, rows


def _figure(value: float | None, decimals: int, sign: bool = False) -> str:
    return "–" if value is None else format_fixed(value, decimals, sign)


def render_page(result: Mapping[str, Any]) -> str:
    """The page: a function of the same data that `--json` prints."""
    style = files("lobgym.experiments.pages").joinpath("page.css").read_text(encoding="utf-8")
    title = "Queue models against orders with a known fate"
    facts = result["recording"]
    feeds = studies_of(result)
    one = next(iter(feeds.values()))
    lede = (
        f"{one['probes']:,} real orders of {escape(str(facts['name']))}, each played again in the market without "
        f"it. Intervals in the JSON are {one['level']:.0%}, over {one['blocks']} blocks of "
        f"{one['block_s']:g} s. The default is {escape(str(one['default']))}."
    )
    sections = [f'<header><h1>{title}</h1><p class="lede">{lede}</p></header>']
    if len(feeds) > 1:
        sections += [
            f'<section class="card"><h2>What the feed costs: {escape(name)}</h2>{_table(*feed_rows(feeds, name))}'
            "</section>"
            for name in ("all", "behind others")
        ]
    for feed, study in feeds.items():
        for name, regime in study["regimes"].items():
            sections.append(_section(f"{feed}: {name}" if feed else name, regime, study["default"]))
    heads, rows = cancellation_rows(facts["facts"].get("cancellations", []))
    sections.append(
        f'<section class="card"><h2>Who cancels?</h2><p class="note">Orders with others before and behind them, when '
        f"another order of their level was cancelled.</p>{_table(heads, rows)}</section>"
    )
    items = "".join(
        f"<dt>{escape(key.replace('_', ' '))}</dt><dd><code>{escape(str(value))}</code></dd>"
        for key, value in [("command", result["command"]), ("commit", result["commit"]), *facts["facts"].items()]
        if key != "cancellations"
    )
    sections.append(f'<section class="card"><h2>The recording</h2><dl>{items}</dl></section>')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{title}</title>\n<style>\n{style}</style></head>\n<body><main>\n"
        + "\n".join(sections)
        + "\n</main></body></html>\n"
    )


def _section(name: str, regime: Mapping[str, Any], default: str) -> str:
    truth = regime["truth"]
    note = (
        f"{truth['probes']:,} orders, {truth['filled']:,} filled, {truth['partly_filled']:,} filled in part. Fronts "
        "are in units of what the level displayed before the order when it came."
    )
    lines = [("the originals", "price", truth["not_filled_after"])]
    for model, css in ((default, "trained"), *_DRAWN):
        if model in regime["models"]:
            lines.append((model, css, regime["models"][model]["survival"]["not_filled_after"]))
    series = [Series(label, css, [x for x, _ in points], [y for _, y in points]) for label, css, points in lines]
    legend = "".join(
        f'<span class="{css}"><i></i><span class="key">{escape(one)}</span></span>' for one, css, _ in lines
    )
    chart = line_chart(series, label=f"share not filled by age, {name}", size=(1080, 200))
    return (
        f'<section class="card"><h2>{escape(name.capitalize())}</h2><p class="note">{note}</p>'
        f"{_table(HEADS, table_rows(regime))}<h3>Share not filled, by age</h3>"
        f'<div class="legend">{legend}</div>{chart}</section>'
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
