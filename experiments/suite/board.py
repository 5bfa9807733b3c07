"""`SuiteBoard`: the cells ranked, over all markets and on each, as plain data, as a table, as Markdown, as a page.

A score is the profit of an episode in bps of what the market's position limit is worth, so that markets of different
currencies and prices compare. Over all markets a policy is ranked by the interquartile mean of its scores, one of each
seed on each market, with an interval whose resamples draw seeds anew within each market
(`lobgym.experiments.evaluation.intervals`). Only who traded every market has a place there.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.table import Table

import lobgym
from lobgym.experiments.evaluation.intervals import iqm, iqm_interval
from lobgym.experiments.evaluation.stats import bootstrap_interval, fixed_mean
from lobgym.experiments.files import write_text
from lobgym.experiments.pages.svg import format_fixed, shared_decimals
from lobgym.experiments.suite.plan import SuitePlan, source_sha256
from lobgym.experiments.suite.players import Player

__all__ = ["SuiteBoard", "SuiteEntry", "render_suite_table"]

SCHEMA: Final = "lobgym.suite/1"
LEVEL: Final = 0.95
JSON_FILE: Final = "leaderboard.json"
TEXT_FILE: Final = "leaderboard.md"
PAGE_FILE: Final = "index.html"
_AVERAGED: Final = ("pnl_bps", "max_drawdown", "fill_rate", "mean_abs_inventory", "turnover", "fees", "fills")
_WHOLE: Final = 100  # characters that every column but the markets' own needs
_WIDE: Final = 110


@dataclass(frozen=True)
class SuiteEntry:
    """A player and its cells by the number of the market, as `run_cell` gives them, or why it has none there."""

    player: Player
    cells: dict[int, dict[str, Any]]
    skipped: dict[int, str]

    def scores(self) -> dict[int, list[float]]:
        """Scores in bps of the limit, by market, in the order of the seeds."""
        return {index: cell["score_bps"] for index, cell in sorted(self.cells.items())}

    @property
    def digest(self) -> str:
        """sha256 over its cells' digests in the order of the markets."""
        return hashlib.sha256("".join(self.cells[index]["digest"] for index in sorted(self.cells)).encode()).hexdigest()


@dataclass(frozen=True)
class SuiteBoard:
    """A finished suite.

    Attributes:
        markets: what `prepare_market` gives, each with its key.
        command: what to type to get this again.
        trials: how many trials the ledger beside the suite's folder counts, those of this board included.
    """

    plan: SuitePlan
    markets: tuple[dict[str, Any], ...]
    entries: tuple[SuiteEntry, ...]
    command: str
    commit: str | None
    trials: int

    @cached_property
    def data(self) -> dict[str, Any]:
        """Everything on the board as plain data."""
        rows = _overall(self)
        return {
            "schema": SCHEMA,
            "version": lobgym.__version__,
            "title": "lobgym leaderboard",
            "command": self.command,
            "commit": self.commit,
            "source_sha256": source_sha256(),
            "seeds": list(range(self.plan.seeds)),
            "episodes": self.plan.episodes,
            "level": LEVEL,
            "trials": self.trials,
            "markets": [_market(self, index) for index in range(len(self.markets))],
            "rows": rows,
            "lead": _lead(self),
        }

    def write(self, root: Path) -> Path:
        """Write leaderboard.json, leaderboard.md and index.html, each aside, then renamed; returns the page's path."""
        from lobgym.experiments.suite.page import render_suite_page, render_suite_text

        text = msgspec.json.format(msgspec.json.encode(self.data), indent=2).decode() + "\n"
        write_text(root / JSON_FILE, text)
        write_text(root / TEXT_FILE, render_suite_text(self.data))
        write_text(root / PAGE_FILE, render_suite_page(self.data))
        return root / PAGE_FILE


def render_suite_table(data: dict[str, Any], width: int = 160) -> Table:
    """The ranking over all markets for a terminal; on a narrow one without the markets' own columns."""
    rows, markets = data["rows"], data["markets"]
    decimals = shared_decimals(row["score"]["iqm"] for row in rows)
    wide, whole = width >= _WIDE + 8 * len(markets), width >= _WHOLE
    table = Table(
        title=f"bps of the position limit, an episode; interquartile mean over {len(markets)} markets and "
        f"{len(data['seeds'])} seeds, {data['level']:.0%} interval"
    )
    for head in ("#", "policy", "env"):
        table.add_column(head, no_wrap=True)
    for head in ("score", "interval", *(("worst market", "markets > 0") if whole else ())):
        table.add_column(head, justify="right", no_wrap=True)
    for market in markets if wide else []:
        table.add_column(market["name"].removeprefix("synth:"), justify="right", no_wrap=True)
    for row in rows:
        score = row["score"]
        cells = [
            "–" if row["rank"] is None else str(row["rank"]),
            row["policy"],
            row["env"],
            format_fixed(score["iqm"], decimals, True),
            f"{format_fixed(score['low'], decimals, True)} .. {format_fixed(score['high'], decimals, True)}",
        ]
        if whole:
            cells += [format_fixed(row["worst"]["mean"], decimals, True), f"{row['above_zero']} of {row['markets']}"]
        if wide:
            means = {one["market"]: one["mean"] for one in row["by_market"]}
            cells += [format_fixed(means[m["name"]], decimals, True) if m["name"] in means else "–" for m in markets]
        table.add_row(*cells, style=None if row["kind"] == "fixed" else "bold")
    return table


def _overall(board: SuiteBoard) -> list[dict[str, Any]]:
    """A row for each entry: those of every market by rank, then the others, which have none."""
    found = []
    for entry in board.entries:
        player, scores = entry.player, entry.scores()
        spread = iqm_interval(scores, LEVEL)
        by_market = [
            {"market": board.markets[index]["name"], **asdict(bootstrap_interval(values, LEVEL))}
            for index, values in scores.items()
        ]
        worst = min(by_market, key=lambda one: (one["mean"], one["market"]))
        found.append(
            {
                "policy": player.name,
                "env": player.env,
                "kind": player.kind,
                "score": asdict(spread),
                "mean": fixed_mean([score for values in scores.values() for score in values]),
                "markets": len(scores),
                "trades": any(metrics["fills"] for cell in entry.cells.values() for metrics in cell["per_seed"]),
                "above_zero": sum(one["low"] > 0.0 for one in by_market),
                "worst": {"market": worst["market"], "mean": worst["mean"]},
                "by_market": by_market,
                "skipped": {board.markets[index]["name"]: reason for index, reason in sorted(entry.skipped.items())},
                "trained_on": [m["name"] for m in board.markets if m["tape_digest"] in player.seen],
                "sha256": list(player.digests),
                "digest": entry.digest,
                "command": _command(board, player),
            }
        )
    found.sort(key=lambda row: (row["markets"] < len(board.markets), -row["score"]["iqm"], row["env"], row["policy"]))
    return [
        {"rank": rank if row["markets"] == len(board.markets) else None, **row} for rank, row in enumerate(found, 1)
    ]


def _market(board: SuiteBoard, index: int) -> dict[str, Any]:
    """A market and its own ranking."""
    market = board.markets[index]
    here = [entry for entry in board.entries if index in entry.cells]
    cells = [_cell(board, entry, index) for entry in here]
    cells.sort(key=lambda cell: (-cell["score"]["mean"], cell["env"], cell["policy"]))
    made = market["instrument"]
    return {
        "name": market["name"],
        "symbol": made["symbol"],
        "venue": made["venue"],
        "currency": market["currency"],
        "tape_digest": market["tape_digest"],
        "params_digest": market["params_digest"],
        "minutes": (market["span_ns"][1] - market["span_ns"][0]) / 6e10,
        "test_span_ns": market["test_span_ns"],
        "episode_seconds": market["episode_ns"] / 1e9,
        "rows": [{"rank": rank, **cell} for rank, cell in enumerate(cells, 1)],
    }


def _cell(board: SuiteBoard, entry: SuiteEntry, index: int) -> dict[str, Any]:
    cell, player = entry.cells[index], entry.player
    averaged = {}
    for field in _AVERAGED:
        known = [float(metrics[field]) for metrics in cell["per_seed"] if metrics[field] is not None]
        averaged[field] = fixed_mean(known) if known else None
    return {
        "policy": player.name,
        "env": player.env,
        "kind": player.kind,
        "score": asdict(bootstrap_interval(cell["score_bps"], LEVEL)),
        "pnl": asdict(bootstrap_interval([metrics["pnl"] for metrics in cell["per_seed"]], LEVEL)),
        **averaged,
        "spec_digest": cell["spec_digest"],
        "digest": cell["digest"],
        "command": _command(board, player, board.plan.tapes[index]),
        "score_bps": cell["score_bps"],
        "per_seed": cell["per_seed"],
    }


def _command(board: SuiteBoard, player: Player, tape: str | None = None) -> str:
    """What to type for this row alone, or for its cell on one tape."""
    plan = board.plan if tape is None else SuitePlan((tape,), board.plan.seeds, board.plan.episodes)
    only = () if player.source == "baseline" else ("--policy", player.label)
    if player.kind == "submitted":
        return shlex.join(["lobgym", "leaderboard", "submit", *player.words, "--expect", player.digests[0]])
    return shlex.join(["lobgym", *plan.words, *player.words, *only])


def _lead(board: SuiteBoard) -> dict[str, Any] | None:
    """Best of what was trained minus best of what was written by hand on the former's markets; None without both.

    Paired by market and seed, since all meet the same episodes.
    """
    trained = [entry for entry in board.entries if entry.player.kind != "fixed"]
    if not trained:
        return None
    first = min(trained, key=lambda entry: (-len(entry.cells), -iqm(_flat(entry.scores())), entry.player.label))
    mine = first.scores()
    fixed = [e for e in board.entries if e.player.kind == "fixed" and mine.keys() <= e.cells.keys()]
    if not fixed:
        return None
    others = {entry.player.label: {index: entry.scores()[index] for index in mine} for entry in fixed}
    best = min(others, key=lambda label: (-iqm(_flat(others[label])), label))
    differences = {
        index: [a - b for a, b in zip(scores, others[best][index], strict=True)] for index, scores in mine.items()
    }
    names = {"trained": first.player.label, "fixed": best, "markets": len(mine)}
    return {**names, **asdict(iqm_interval(differences, LEVEL))}


def _flat(scores: dict[int, list[float]]) -> list[float]:
    return [score for values in scores.values() for score in values]
