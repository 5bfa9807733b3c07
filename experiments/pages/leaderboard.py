"""The leaderboard as one self-contained HTML page: no scripts, no fonts, no images from anywhere.

The page is a function of plain data (`render_page`), the same data that the JSON file holds, so that the same results
give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lobgym.experiments.pages.frame import html_text, legend_of, page_of, tile
from lobgym.experiments.pages.svg import (
    Marks,
    Series,
    format_fixed,
    format_number,
    line_chart,
    shared_decimals,
    whisker,
)

__all__ = ["render_page", "shared_domain"]

# Key of a row, head, unit below it, whether the figure carries its sign, and how a share is written.
_COLUMNS = (
    ("pnl_bps", "PnL / notional", "bps", True, False),
    ("max_drawdown", "max drawdown", "", False, False),
    ("fill_rate", "fill rate", "", False, True),
    ("time_to_fill_ms", "time to fill", "ms", False, False),
    ("mean_abs_inventory", "mean |inventory|", "", False, False),
    ("turnover", "turnover", "", False, False),
    ("fees", "fees", "", False, False),
)


def render_page(
    board: Mapping[str, Any], traces: Sequence[Mapping[str, Any]] = (), gates: Mapping[str, Any] | None = None
) -> str:
    """The page.

    Args:
        board: what `leaderboard_json` gives.
        traces: episodes to draw, `Trace.to_json()` each; of the best trained and the best fixed policy, usually.
        gates: a gate report as plain data: `{"ok": bool, "gates": [{"name", "ok", "summary"}, ...]}`.
    """
    sections = [
        _header(board),
        _tiles(board, gates),
        _table(board),
        *([_episodes(board, traces)] if traces else []),
        *([_gates(gates)] if gates else []),
        _provenance(board),
    ]
    return page_of(board["title"], sections)


def _header(board: Mapping[str, Any]) -> str:
    tape = board["tape"]
    episodes = f"{board['episodes']} episodes of {format_number(board['episode_seconds'])} s"
    lede = (
        f"{len(board['rows'])} policies on the {html_text(board['split'])} split of {html_text(tape['symbol'])} "
        f"({html_text(tape['name'])}), {episodes} for each of {len(board['seeds'])} seeds. PnL is per episode, "
        f"in {html_text(board['currency'])}, net of fees, marked at the mid."
    )
    return f'<header><h1>{html_text(board["title"])}</h1><p class="lede">{lede}</p></header>'


def _tiles(board: Mapping[str, Any], gates: Mapping[str, Any] | None) -> str:
    tiles = []
    for kind, what in (("trained", "Best trained policy"), ("fixed", "Best fixed policy")):
        row = next((row for row in board["rows"] if row["kind"] == kind), None)
        if row is not None:
            who = f"{row['policy']} on {row['env']}, {_range(row['pnl']) if row['fills'] else 'never traded'}"
            tiles.append(tile(what, _signed(row["pnl"]["mean"]), board["currency"], who))
    lead = board.get("lead")
    if lead:
        low, high = lead["low"], lead["high"]
        verdict = "ahead" if low > 0 else "behind" if high < 0 else "not told apart"
        tiles.append(
            tile("Trained minus fixed, paired", _signed(lead["mean"]), board["currency"], f"{_range(lead)}: {verdict}")
        )
    if gates is not None:
        passed = sum(1 for gate in gates["gates"] if gate["ok"])
        css = "good" if gates["ok"] else "bad"
        figure = f'<span class="{css}">{"passed" if gates["ok"] else "failed"}</span>'
        tiles.append(tile("Gates", figure, "", f"{passed} of {len(gates['gates'])} hold"))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _table(board: Mapping[str, Any]) -> str:
    rows = board["rows"]
    domain = shared_domain([bound for row in rows for bound in (row["pnl"]["low"], row["pnl"]["high"])])
    heads = "".join(f"<th>{head}{f'<br>{unit}' if unit else ''}</th>" for _, head, unit, _, _ in _COLUMNS)
    columns = [_column(rows, key, sign, share) for key, _, _, sign, share in _COLUMNS]
    decimals = shared_decimals(value for row in rows for value in (row["pnl"]["low"], row["pnl"]["high"]))
    body = "".join(_row(row, domain, decimals, cells) for row, *cells in zip(rows, *columns, strict=True))
    return (
        '<section class="card"><h2>Leaderboard</h2>'
        f'<p class="note">Sorted by mean PnL. The interval is a {board["level"]:.0%} percentile bootstrap over '
        f"{len(board['seeds'])} seeds; with so few it shows the spread between seeds and is no test. "
        "An arrow lies off the scale.</p>"
        '<div class="scroll"><table><thead><tr><th class="left">policy</th><th class="left">env</th>'
        f'<th>PnL</th><th class="left">interval</th>{heads}</tr></thead><tbody>{body}</tbody></table></div></section>'
    )


def shared_domain(bounds: Sequence[float]) -> tuple[float, float]:
    """The range of the bounds without those beyond five times the median size: one wreck must not hide the others."""
    sizes = sorted(abs(bound) for bound in bounds if bound)
    limit = 5.0 * sizes[len(sizes) // 2] if sizes else 1.0
    kept = [bound for bound in bounds if abs(bound) <= limit]
    return min(kept), max(kept)


def _column(rows: Sequence[Mapping[str, Any]], key: str, sign: bool, share: bool) -> list[str]:
    """A column's cells with a common number of decimals; a dash where a figure does not exist."""
    scale, unit = (100.0, "%") if share else (1.0, "")
    values = [None if row[key] is None else row[key] * scale for row in rows]
    decimals = shared_decimals(value for value in values if value is not None)
    return ["–" if value is None else format_fixed(value, decimals, sign) + unit for value in values]


def _row(row: Mapping[str, Any], domain: tuple[float, float], decimals: int, cells: Sequence[str]) -> str:
    pnl = row["pnl"]
    low, high = format_fixed(pnl["low"], decimals, True), format_fixed(pnl["high"], decimals, True)
    tag = '<span class="tag trained">trained</span>' if row["kind"] == "trained" else ""
    return (
        f'<tr><td class="left"><span class="name">{html_text(row["policy"])}</span>{tag}</td>'
        f'<td class="left">{html_text(row["env"])}</td>'
        f"<td><b>{format_fixed(pnl['mean'], decimals, True)}</b><br><small>{low} to {high}</small></td>"
        f'<td class="interval">{whisker(pnl["mean"], pnl["low"], pnl["high"], domain, row["kind"])}</td>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _episodes(board: Mapping[str, Any], traces: Sequence[Mapping[str, Any]]) -> str:
    currency = html_text(board["currency"])
    legend = legend_of([(trace["kind"], f"{trace['policy']} ({trace['env']})") for trace in traces])
    equity = [Series(str(t["policy"]), t["kind"], t["time_s"], t["equity"]) for t in traces]
    inventory = [Series(str(t["policy"]), t["kind"], t["time_s"], t["inventory"], step=True) for t in traces]
    starts = {trace["start_ns"] for trace in traces}
    same = "the same minutes of the tape" if len(starts) == 1 else "each its own minutes of the tape"
    parts = [
        f'<section class="card"><h2>One episode</h2><p class="note">The first episode of seed {traces[0]["seed"]}: '
        f"{same}, not a chosen one. Shown are the best trained policy and the best fixed one that trades.</p>",
        f"<h3>Equity, {currency}</h3>{legend}",
        line_chart(equity, label="equity over time", zero_line=True),
        f"<h3>Inventory, {html_text(board['base'])}</h3>",
        line_chart(inventory, label="inventory over time", size=(1080, 190), zero_line=True),
    ]
    for trace in traces:
        legend = _FILL_LEGEND if trace["fills"] else '<p class="note">It had no fill in this episode.</p>'
        whose = html_text(f"{trace['policy']} ({trace['env']})")
        parts.append(f"<h3>Mid price and fills of {whose}</h3>{legend}")
        price = Series("mid", "price", trace["time_s"], trace["price"])
        marks = [_marks(trace["fills"], side) for side in (1, -1)]
        parts.append(
            line_chart([price], marks, label=f"mid price and {len(trace['fills'])} fills of {trace['policy']}")
        )
    return "".join([*parts, "</section>"])


def _marks(fills: Sequence[Mapping[str, Any]], side: int) -> Marks:
    chosen = [fill for fill in fills if fill["side"] == side]
    word = "bought" if side > 0 else "sold"
    texts = [
        f"{word} {format_number(fill['qty'])} at {fill['price']:,} ({'maker' if fill['maker'] else 'taker'}), "
        f"{fill['time_s']:.1f} s"
        for fill in chosen
    ]
    css = "buy" if side > 0 else "sell"
    return Marks(word, css, [f["time_s"] for f in chosen], [f["price"] for f in chosen], side > 0, texts)


_FILL_LEGEND = (
    '<div class="legend"><span class="price"><i></i><span class="key">mid</span></span>'
    '<span class="buy"><b>▲</b><span class="key">bought</span></span>'
    '<span class="sell"><b>▼</b><span class="key">sold</span></span></div>'
)


def _gates(gates: Mapping[str, Any]) -> str:
    items = "".join(
        f'<li><b class="{"good" if gate["ok"] else "bad"}">{"pass" if gate["ok"] else "FAIL"}</b>'
        f"<b>{html_text(gate['name'])}</b><span>{html_text(gate['summary'])}</span></li>"
        for gate in gates["gates"]
    )
    return f'<section class="card"><h2>Gates</h2><ul class="gates">{items}</ul></section>'


def _provenance(board: Mapping[str, Any]) -> str:
    rows = [
        ("command", board["command"]),
        ("seeds", ", ".join(str(seed) for seed in board["seeds"])),
        ("tape", f"{board['tape']['name']}, sha256 {board['tape']['digest']}"),
        ("parameters", f"sha256 {board['params_digest']}"),
        *([("commit", board["commit"])] if board.get("commit") else []),
        ("version", f"lobgym {board['version']}"),
    ]
    items = "".join(f"<dt>{name}</dt><dd><code>{html_text(value)}</code></dd>" for name, value in rows)
    return (
        '<section class="card"><h2>How to get this again</h2><p class="note">Everything here happened in a replay of a '
        f"recorded or generated market; no order ever reached a venue.</p><dl>{items}</dl></section>"
    )


def _range(interval: Mapping[str, Any]) -> str:
    decimals = shared_decimals([interval["low"], interval["high"]])
    return f"{format_fixed(interval['low'], decimals, True)} to {format_fixed(interval['high'], decimals, True)}"


def _signed(value: float) -> str:
    return format_number(value, sign=True)
