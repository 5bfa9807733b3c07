"""A suite as one self-contained page, and as Markdown; both are functions of the plain data alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lobgym.experiments.pages.frame import html_text, page_of, tile
from lobgym.experiments.pages.leaderboard import shared_domain
from lobgym.experiments.pages.svg import format_fixed, format_number, shared_decimals, whisker

__all__ = ["render_suite_page", "render_suite_text"]

Data = Mapping[str, Any]

_TAGS: Final = {"trained": "trained", "submitted": "handed in"}
_STYLE: Final = (
    "<style>.market { white-space: normal; overflow-wrap: anywhere; min-width: 74px; } "
    "td.market { min-width: 150px; } td.heat, td.heat:last-child { min-width: 74px; padding-right: 8px; } "
    "td.heat.up { background: color-mix(in srgb, var(--good) calc(var(--w) * 1%), transparent); } "
    "td.heat.down { background: color-mix(in srgb, var(--bad) calc(var(--w) * 1%), transparent); } "
    "details { margin-top: 14px; } summary { cursor: pointer; font-weight: 600; font-size: 13.5px; } "
    "details dl { grid-template-columns: max-content 1fr; }</style>"
)


def render_suite_page(data: Data) -> str:
    """The page of what `SuiteBoard.data` gives."""
    sections = [
        _STYLE,
        _header(data),
        _tiles(data),
        _ranking(data),
        _matrix(data),
        *(_market(data, market) for market in data["markets"]),
        _rows(data),
        _provenance(data),
    ]
    return page_of(data["title"], sections)


def render_suite_text(data: Data) -> str:
    """The ranking and the matrix as Markdown, with the command, seeds and digests."""
    rows, markets = data["rows"], data["markets"]
    decimals = _decimals(data)
    head = ["rank", "policy", "env", "kind", "score", "interval", "above 0", *(_short(market) for market in markets)]
    lines = [
        f"# {data['title']}",
        "",
        f"Score: interquartile mean of the profit of an episode in bps of the position limit, over {len(markets)} "
        f"markets and {len(data['seeds'])} seeds of {data['episodes']} episodes; {data['level']:.0%} interval. "
        "Columns of markets: means.",
        "",
        "| " + " | ".join(head) + " | digest |",
        "|" + "---|" * (len(head) + 1),
    ]
    for row in rows:
        score, means = row["score"], {one["market"]: one["mean"] for one in row["by_market"]}
        cells = [
            "–" if row["rank"] is None else str(row["rank"]),
            row["policy"],
            row["env"],
            row["kind"],
            format_fixed(score["iqm"], decimals, True),
            f"{format_fixed(score['low'], decimals, True)} to {format_fixed(score['high'], decimals, True)}",
            f"{row['above_zero']} of {row['markets']}",
            *(format_fixed(means[m["name"]], decimals, True) if m["name"] in means else "–" for m in markets),
            f"`{row['digest'][:12]}`",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", f"Command: `{data['command']}`", "", f"Seeds: {', '.join(map(str, data['seeds']))}", ""]
    lines += [f"- {market['name']}: tape sha256 `{market['tape_digest']}`" for market in markets]
    lines += ["", f"Source sha256 `{data['source_sha256']}`, trials in the ledger: {data['trials']}"]
    return "\n".join(lines) + "\n"


def _header(data: Data) -> str:
    lede = (
        f"{len(data['rows'])} policies on {len(data['markets'])} markets, {data['episodes']} episodes for each of "
        f"{len(data['seeds'])} seeds on each, on the part of the tape that no training sees. A score is the profit of "
        "an episode, net of fees and marked at the mid, in bps of what the market's position limit is worth."
    )
    return f'<header><h1>{html_text(data["title"])}</h1><p class="lede">{lede}</p></header>'


def _tiles(data: Data) -> str:
    tiles, count = [], len(data["markets"])
    for what, fixed in (("Best trained policy", False), ("Best fixed policy", True)):
        row = next((r for r in data["rows"] if (r["kind"] == "fixed") == fixed), None)
        if row is not None:
            where = "" if row["markets"] == count else f", {row['markets']} of {count} markets"
            who = f"{row['policy']} on {row['env']}{where}, {_range(row['score'])}"
            tiles.append(tile(what, format_number(row["score"]["iqm"], sign=True), "bps", who))
    trading = next((r for r in data["rows"] if r["kind"] == "fixed" and r["trades"]), None)
    if trading is not None:
        who = f"{trading['policy']} on {trading['env']}, {_range(trading['score'])}"
        tiles.append(tile("Best fixed that trades", format_number(trading["score"]["iqm"], sign=True), "bps", who))
    lead = data["lead"]
    if lead:
        verdict = "ahead" if lead["low"] > 0 else "behind" if lead["high"] < 0 else "not told apart"
        who = f"{lead['trained']} − {lead['fixed']} on {lead['markets']} markets: {_range(lead)}, {verdict}"
        tiles.append(tile("Trained minus fixed, paired", format_number(lead["iqm"], sign=True), "bps", who))
    whole = [row for row in data["rows"] if row["rank"] is not None]
    winners = sum(row["score"]["low"] > 0.0 for row in whole)
    tiles.append(tile("Above zero over all markets", str(winners), f"of {len(whole)}", "their interval lies above 0"))
    tiles.append(tile("Trials in the ledger", str(data["trials"]), "", "what was tried and could have been chosen"))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _ranking(data: Data) -> str:
    rows, decimals = data["rows"], _decimals(data)
    domain = shared_domain([row["score"][bound] for row in rows for bound in ("low", "high")])
    body = "".join(
        f"<tr><td>{'–' if row['rank'] is None else row['rank']}</td>{_who(row)}"
        f"<td><b>{format_fixed(row['score']['iqm'], decimals, True)}</b></td>"
        f"<td>{_range(row['score'], decimals)}</td>"
        f'<td class="interval">{_whisker(row["score"], "iqm", domain, row["kind"])}</td>'
        f"<td>{format_fixed(row['mean'], decimals, True)}</td>"
        f"<td>{row['above_zero']} of {row['markets']}</td>"
        f"{_worst(row, decimals)}</tr>"
        for row in rows
    )
    return (
        '<section class="card"><h2>Over all markets</h2>'
        f'<p class="note">Sorted by the interquartile mean of the scores, one for each seed on each market. The '
        f"interval is a {data['level']:.0%} percentile bootstrap that draws seeds anew within each market. Above 0 "
        "counts the markets whose own interval lies above 0. A policy that cannot trade every market has no rank. "
        "An arrow lies off the scale.</p>"
        '<div class="scroll"><table><thead><tr><th></th><th class="left">policy</th><th class="left">env</th>'
        '<th>score<br>bps</th><th>interval</th><th class="left"></th><th>mean<br>bps</th><th>above 0</th>'
        f'<th class="left">worst market</th></tr></thead><tbody>{body}</tbody></table></div></section>'
    )


def _worst(row: Data, decimals: int) -> str:
    worst = row["worst"]
    if worst["mean"] == 0.0:
        return '<td class="left">–</td>'
    mean = format_fixed(worst["mean"], decimals, True)
    return f'<td class="left market">{html_text(_short_name(worst["market"]))} <small>{mean}</small></td>'


def _matrix(data: Data) -> str:
    """Policies by markets; the colour is the score's rank among all, so that one wreck does not bleach the rest."""
    rows, markets = data["rows"], data["markets"]
    means = [abs(one["mean"]) for row in rows for one in row["by_market"] if one["mean"]]
    order = {size: place for place, size in enumerate(sorted(set(means)), 1)}
    heads = "".join(f'<th class="market">{html_text(_short(market))}</th>' for market in markets)
    body = []
    for row in rows:
        cells = {one["market"]: one for one in row["by_market"]}
        shown = []
        for market in markets:
            one = cells.get(market["name"])
            if one is None:
                reason = row["skipped"].get(market["name"], "of another instrument")
                shown.append(f'<td title="{html_text(reason)}">–</td>')
                continue
            weight = 8 + 42 * order[abs(one["mean"])] // len(order) if one["mean"] else 0
            css = "heat up" if one["mean"] > 0 else "heat down" if one["mean"] < 0 else "heat"
            star = "*" if market["name"] in row["trained_on"] else ""
            title = f"{_range(one)}; on {market['name']}"
            text = format_fixed(one["mean"], shared_decimals([one["mean"]]), True) if one["mean"] else "0"
            shown.append(f'<td class="{css}" style="--w:{weight}" title="{html_text(title)}">{text}{star}</td>')
        body.append(f"<tr>{_who(row)}{''.join(shown)}</tr>")
    return (
        '<section class="card"><h2>Policy by market</h2><p class="note">Mean score of each policy on each market, bps '
        "of the position limit; – where it has no place (the pointer says why); * where it was trained on the "
        "first part of that very tape. The interval shows when the pointer rests on a figure.</p>"
        '<div class="scroll"><table><thead>'
        f'<tr><th class="left">policy</th><th class="left">env</th>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div></section>"
    )


def _market(data: Data, market: Data) -> str:
    rows = market["rows"]
    bounds = [row["score"][bound] for row in rows for bound in ("low", "high")]
    domain = shared_domain(bounds)
    decimals = shared_decimals(bounds)
    money = shared_decimals(row["pnl"]["mean"] for row in rows)
    best = rows[0]
    body = "".join(
        f"<tr><td>{row['rank']}</td>{_who(row)}"
        f"<td><b>{format_fixed(row['score']['mean'], decimals, True)}</b></td>"
        f'<td class="interval">{_whisker(row["score"], "mean", domain, row["kind"])}</td>'
        f"<td>{format_fixed(row['pnl']['mean'], money, True)}</td>"
        f"<td>{_figure(row['pnl_bps'], 2)}</td><td>{_figure(row['max_drawdown'], money)}</td>"
        f"<td>{_share(row['fill_rate'])}</td><td>{_figure(row['turnover'], 0)}</td>"
        f"<td>{_figure(row['fees'], money)}</td>"
        f"<td><code>{row['digest'][:12]}</code></td></tr>"
        for row in rows
    )
    currency = html_text(market["currency"])
    return (
        f'<section class="card"><h2>{html_text(market["name"])}</h2><p class="note">{html_text(market["symbol"])} on '
        f"{html_text(market['venue'])}, {format_number(market['minutes'])} minutes, episodes of "
        f"{format_number(market['episode_seconds'])} s; best: {html_text(best['policy'])} on {html_text(best['env'])} "
        f"with {format_fixed(best['score']['mean'], decimals, True)} bps.</p>"
        "<details><summary>All policies on this market</summary>"
        '<div class="scroll"><table><thead><tr><th></th><th class="left">policy</th><th class="left">env</th>'
        f'<th>score<br>bps</th><th class="left">interval</th><th>PnL<br>{currency}</th><th>PnL / notional<br>bps</th>'
        f"<th>max drawdown<br>{currency}</th><th>fill rate</th><th>turnover<br>{currency}</th>"
        f"<th>fees<br>{currency}</th>"
        f"<th>digest</th></tr></thead><tbody>{body}</tbody></table></div></details></section>"
    )


def _rows(data: Data) -> str:
    items = "".join(
        f"<dt>{html_text(row['policy'])} on {html_text(row['env'])}</dt>"
        f"<dd><code>{html_text(row['command'])}</code><br>"
        f"<small>seeds {data['seeds'][0]} to {data['seeds'][-1]}, result sha256 <code>{row['digest']}</code>"
        + "".join(f", policy sha256 <code>{html_text(one)}</code>" for one in row["sha256"])
        + "</small></dd>"
        for row in data["rows"]
    )
    return (
        '<section class="card"><h2>Each row again</h2><p class="note">The command repeats a row alone; the digest is '
        "over every figure of every seed on every market, and must come out the same.</p>"
        f"<details><summary>Commands and digests of {len(data['rows'])} rows</summary><dl>{items}</dl></details>"
        "</section>"
    )


def _provenance(data: Data) -> str:
    rows = [
        ("command", data["command"]),
        ("seeds", ", ".join(str(seed) for seed in data["seeds"])),
        *((f"tape {market['name']}", f"sha256 {market['tape_digest']}") for market in data["markets"]),
        ("source", f"sha256 {data['source_sha256']}"),
        *([("commit", data["commit"])] if data.get("commit") else []),
        ("version", f"lobgym {data['version']}"),
    ]
    items = "".join(f"<dt>{html_text(name)}</dt><dd><code>{html_text(value)}</code></dd>" for name, value in rows)
    return (
        '<section class="card"><h2>How to get this again</h2><p class="note">Everything here happened in a replay of '
        f"recorded or generated markets; no order ever reached a venue.</p><dl>{items}</dl></section>"
    )


def _who(row: Data) -> str:
    tag = _TAGS.get(row["kind"])
    mark = f'<span class="tag trained">{tag}</span>' if tag else ""
    return (
        f'<td class="left"><span class="name">{html_text(row["policy"])}</span>{mark}</td>'
        f'<td class="left">{html_text(row["env"])}</td>'
    )


def _whisker(interval: Data, middle: str, domain: tuple[float, float], kind: str) -> str:
    css = "fixed" if kind == "fixed" else "trained"
    return whisker(interval[middle], interval["low"], interval["high"], domain, css)


def _decimals(data: Data) -> int:
    return shared_decimals(row["score"]["iqm"] for row in data["rows"])


def _range(interval: Data, decimals: int | None = None) -> str:
    shown = shared_decimals([interval["low"], interval["high"]]) if decimals is None else decimals
    return f"{format_fixed(interval['low'], shown, True)} to {format_fixed(interval['high'], shown, True)}"


def _figure(value: float | None, decimals: int) -> str:
    return "–" if value is None else format_fixed(value, decimals)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _short(market: Data) -> str:
    return _short_name(market["name"])


def _short_name(name: str) -> str:
    return name.removeprefix("synth:")
