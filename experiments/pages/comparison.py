"""A comparison of two markets as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from lobgym.experiments.compare import cumulative, unit_of
from lobgym.experiments.pages.frame import html_text, legend_of, page_of, tile
from lobgym.experiments.pages.svg import Series, format_number, line_chart
from lobgym.sim.measures import CATALOG, Curve, Distribution, Measures
from lobgym.sim.measures.catalog import DEPTH_LEVELS

__all__ = ["SHOWN_DISTRIBUTIONS", "render_comparison"]

SHOWN_DISTRIBUTIONS: Final = tuple(
    name
    for name, entry in CATALOG.items()
    if entry.kind == "distribution" and ("_depth_" not in name or name.endswith("_depth_1"))
)
_SMALL: Final = (560, 210)
_POINTS: Final = 300
_TAIL: Final = 0.005  # share of the weight at each end that charts leave out
_GRIDS: Final = {"time": "by time", "clock": "by the clock", "event": "by event"}


def render_comparison(data: Mapping[str, Any], a: Measures, b: Measures, facts: Sequence[tuple[str, str]]) -> str:
    """The page.

    Args:
        data: what `lobgym.experiments.compare.compare` gives for a and b.
        facts: how to get it again, as names and values.
    """
    return page_of(
        f"{data['a']['name']} and {data['b']['name']}",
        [
            _header(data),
            _tiles(data),
            _scalars(data),
            _distributions(data, a, b),
            _depth(data, a, b),
            _curves(data, a, b),
            _facts(facts),
        ],
    )


def _names(data: Mapping[str, Any]) -> str:
    """Legend; of a path only its last part."""
    return legend_of(
        [(css, f"{key.upper()}: {data[key]['name'].rsplit('/', 1)[-1]}") for key, css in (("a", "one"), ("b", "two"))]
    )


def _header(data: Mapping[str, Any]) -> str:
    lines = [
        f"{key.upper()}: {one['name']}, {one['venue']} {one['symbol']}, {format_number(one['span_s'])} s, "
        f"{one['rows']:,} rows, {one['prints']:,} prints"
        for key, one in ((key, data[key]) for key in "ab")
    ]
    lede = "<br>".join(html_text(line) for line in lines)
    return f'<header><h1>How alike two markets are</h1><p class="lede">{lede}</p></header>'


def _tiles(data: Mapping[str, Any]) -> str:
    overall = data["overall"]
    tiles = (
        ("Histograms, L1", "l1_mean", "", "mean over distributions; 0 the same, 2 nothing in common"),
        ("Wasserstein-1", "wasserstein_per_std_mean", "std of A", "mean over distributions"),
        ("Curves", "per_standard_error_mean", "standard errors", "mean over curves; about 0.8 by chance alone"),
    )
    made = "".join(tile(what, _figure(overall[key]), unit, who) for what, key, unit, who in tiles)
    return f'<div class="tiles">{made}</div>'


def _scalars(data: Mapping[str, Any]) -> str:
    rows = []
    for name, one in _of_kind(data, "scalar"):
        away = one["distance"]["relative"]
        share = "–" if away is None else format_number(100 * away, sign=True) + "%"
        rows.append(_row(data, name, one, (_figure(one["a"]), _figure(one["b"]), share)))
    return _card("Figures", "", _table(("A", "B", "B to A"), rows))


def _distributions(data: Mapping[str, Any], a: Measures, b: Measures) -> str:
    rows, charts = [], []
    for name, one in _of_kind(data, "distribution"):
        away = one["distance"]
        cells = [_figure(one[side]["mean"]) for side in "ab"]
        cells += [_figure(one[side]["quantiles"]["0.5"]) for side in "ab"]
        cells += [_figure(away["wasserstein"]), _figure(away["wasserstein_per_std"]), _figure(away["l1"])]
        rows.append(_row(data, name, one, cells))
        if name in SHOWN_DISTRIBUTIONS:
            unit = unit_of(data, one)
            heading = name if name.endswith(unit) else f"{name}, {unit}"
            chart = _distribution_chart(name, a.distributions[name], b.distributions[name])
            charts.append(f"<div><h3>{html_text(heading)}</h3>{chart}</div>")
    heads = ("mean A", "mean B", "median A", "median B", "Wasserstein-1", "by std of A", "L1")
    note = (
        "Charts: share of the weight at or below a value, without the outer 0.5% of each end. The value axis is "
        "logarithmic but for imbalance; what is 0 lies left of it. The table follows."
    )
    body = f'{_names(data)}<div class="charts">{"".join(charts)}</div>{_table(heads, rows)}'
    return _card("Distributions", note, body)


def _distribution_chart(name: str, a: Distribution, b: Distribution) -> str:
    linear = name.startswith("imbalance")
    ends = [one.quantile(q) for one in (a, b) for q in (_TAIL, 1.0 - _TAIL) if len(one.values)]
    positive = [float(one.values[one.values > 0][0]) for one in (a, b) if (one.values > 0).any()]
    if not ends or not (linear or positive):
        return line_chart([], label=name)
    low, high = min(ends), max(ends)
    if not linear:
        low = max(low, min(positive))
        high = max(high, low * 1.001)
    # A little beyond both ends, so that a value that most of the weight has is not drawn on the frame.
    x = np.linspace(low, high, _POINTS) if linear else np.geomspace(low * 0.9, high * 1.1, _POINTS)
    series = [
        Series(f"{key}: {name}", css, x.tolist(), cumulative(one, x).tolist(), step=True)
        for key, css, one in (("A", "one", a), ("B", "two", b))
        if len(one.values)
    ]
    return line_chart(series, label=f"distribution of {name}", x_unit="", size=_SMALL, log_x=not linear)


def _depth(data: Mapping[str, Any], a: Measures, b: Measures) -> str:
    charts = []
    for side in ("bid", "ask"):
        series = [
            Series(key, css, list(range(1, DEPTH_LEVELS + 1)), [_depth_mean(one, side, k) for k in range(DEPTH_LEVELS)])
            for key, css, one in (("A", "one", a), ("B", "two", b))
        ]
        chart = line_chart(series, label=f"mean depth of the {side}s", x_unit="", size=_SMALL, zero_line=True)
        charts.append(f"<div><h3>{side} side</h3>{chart}</div>")
    note = f"Mean quantity at levels 1 to {DEPTH_LEVELS}, counted from the best, in {unit_of(data, {'unit': 'base'})}."
    return _card("Depth by level", note, f'{_names(data)}<div class="charts">{"".join(charts)}</div>')


def _depth_mean(one: Measures, side: str, level: int) -> float:
    return one.distributions[f"{side}_depth_{level + 1}"].mean


def _curves(data: Mapping[str, Any], a: Measures, b: Measures) -> str:
    rows, charts = [], []
    for name, one in _of_kind(data, "curve"):
        away = one["distance"]
        rows.append(_row(data, name, one, (_figure(away["per_standard_error"]), str(away["points"]))))
        series = [
            _curve_series(key, css, curve)
            for key, css, curve in (("A", "one", a.curves[name]), ("B", "two", b.curves[name]))
        ]
        chart = line_chart(
            [each for each in series if each.x], label=CATALOG[name].about, x_unit="", size=_SMALL, zero_line=True,
            log_x=name == "print_response",
        )  # fmt: skip
        unit = f", {one['unit']}" if one["unit"] else ""
        title = f"{name}{unit}, over {CATALOG[name].x}"
        note = f'<p class="note">{html_text(CATALOG[name].about)}</p>'
        charts.append(f"<div><h3>{html_text(title)}</h3>{note}{chart}</div>")
    note = "Bands are two standard errors each way."
    body = f'{_names(data)}<div class="charts">{"".join(charts)}</div>'
    return _card("Curves", note, body + _table(("apart, in joint standard errors", "points"), rows))


def _curve_series(key: str, css: str, curve: Curve) -> Series:
    there = np.isfinite(curve.y)
    x, y = curve.x[there], curve.y[there]
    reach = 2.0 * np.nan_to_num(curve.se[there])
    return Series(key, css, x.tolist(), y.tolist(), low=(y - reach).tolist(), high=(y + reach).tolist())


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{html_text(name)}</dt><dd><code>{html_text(value)}</code></dd>" for name, value in facts)
    return _card("How to get this again", "", f"<dl>{items}</dl>")


# -- parts -------------------------------------------------------------------------------------------------------------


def _of_kind(data: Mapping[str, Any], kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, one) for name, one in data["measures"].items() if one["kind"] == kind]


def _row(data: Mapping[str, Any], name: str, one: Mapping[str, Any], cells: Sequence[str]) -> str:
    """A row: name with its meaning below the pointer, unit, grid, figures."""
    return (
        f'<tr><td class="left" title="{html_text(CATALOG[name].about)}">'
        f'<span class="name">{html_text(name)}</span></td>'
        f'<td class="left">{html_text(unit_of(data, one))}</td><td class="left">{_GRIDS[one["grid"]]}</td>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{html_text(one)}</th>" for one in heads)
    return (
        '<div class="scroll"><table><thead><tr><th class="left">measure</th><th class="left">unit</th>'
        f'<th class="left">taken</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _card(title: str, note: str, body: str) -> str:
    below = f'<p class="note">{html_text(note)}</p>' if note else ""
    return f'<section class="card"><h2>{html_text(title)}</h2>{below}{body}</section>'


def _figure(value: float | None) -> str:
    return "–" if value is None else format_number(value)
