"""The board of made-up cells: ranks, worst markets and the lead of the trained, each by its definition.

Method: scores are drawn, nothing is played; whoever trades only some of the markets is among them. The definitions are
written down again in plain Python, intervals are those of their own tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.intervals import iqm, iqm_interval
from lobgym.experiments.evaluation.stats import bootstrap_interval
from lobgym.experiments.suite.board import SuiteBoard, SuiteEntry
from lobgym.experiments.suite.plan import SuitePlan
from lobgym.experiments.suite.players import Player
from lobgym.experiments.suite.run import _check_cuts

NAMES = ("synth:calm", "synth:volatile", "synth:sideways")
SEEDS = 5
FIGURES = ("pnl", "pnl_bps", "max_drawdown", "fill_rate", "mean_abs_inventory", "turnover", "fees", "fills")


def market(name: str) -> dict[str, Any]:
    return {
        "name": name, "tape_digest": f"tape of {name}", "instrument": {"symbol": "X", "venue": "Y"}, "currency": "USDT",
        "params_digest": "p", "span_ns": [0, 60_000_000_000], "test_span_ns": [1, 2], "episode_ns": 1, "embargo_ns": 60,
    }  # fmt: skip


def entry(name: str, kind: Any, scores: dict[int, list[float]]) -> SuiteEntry:
    cells = {
        index: {
            "score_bps": values, "digest": f"{name} {index}", "spec_digest": "s",
            "per_seed": [dict.fromkeys(FIGURES, value) for value in values],
        }
        for index, values in scores.items()
    }  # fmt: skip
    player = Player(name, "target", kind, "baseline" if kind == "fixed" else "models", (), ("0" * 64,))
    return SuiteEntry(player, cells, {})


def drawn(seed: int) -> tuple[SuiteBoard, dict[str, dict[int, list[float]]]]:
    """A board, and its scores by name and market."""
    rng = np.random.default_rng(seed)
    scores: dict[str, dict[int, list[float]]] = {}
    for name, indices in (
        ("fixed-a", (0, 1, 2)), ("fixed-b", (0, 1, 2)), ("fixed-few", (1,)), ("fixed-c", (0, 1, 2)),
        ("trained-a", (0, 1)), ("trained-b", (0, 1)), ("trained-few", (2,)),
    ):  # fmt: skip
        level = 30.0 if "few" in name else 0.0  # who trades one market has the best figures there
        scores[name] = {index: (level + rng.normal(1.0, 3.0) + rng.normal(0, 2, SEEDS)).tolist() for index in indices}
    entries = tuple(entry(name, name.split("-")[0], own) for name, own in scores.items())
    plan = SuitePlan(NAMES, SEEDS, 2)
    return SuiteBoard(plan, tuple(map(market, NAMES)), entries, "lobgym", None, 0), scores


def flat(scores: dict[int, list[float]]) -> list[float]:
    return [value for values in scores.values() for value in values]


@pytest.mark.parametrize("seed", range(6))
def test_ranks_and_worst_markets_are_what_they_are_called(seed: int) -> None:
    board, scores = drawn(seed)
    rows = board.data["rows"]
    ranked = [row["policy"] for row in rows if row["rank"] is not None]
    whole = [name for name, own in scores.items() if len(own) == len(NAMES)]
    assert ranked == sorted(whole, key=lambda name: -iqm(flat(scores[name])))
    assert [row["rank"] for row in rows] == [1, 2, 3, None, None, None, None], "the others come last, and have none"
    for row in rows:
        own = scores[row["policy"]]
        means = {NAMES[index]: sum(values) / SEEDS for index, values in own.items()}
        worst = min(means, key=lambda name: means[name])
        assert row["worst"] == {"market": worst, "mean": pytest.approx(means[worst])}
        assert row["mean"] == pytest.approx(sum(flat(own)) / len(flat(own)))
        assert row["above_zero"] == sum(bootstrap_interval(values).low > 0.0 for values in own.values())
        spread = iqm_interval(own)
        assert (row["score"]["iqm"], row["score"]["low"], row["score"]["high"]) == (spread.iqm, spread.low, spread.high)
    for index, one in enumerate(board.data["markets"]):
        here = {name: sum(own[index]) for name, own in scores.items() if index in own}
        assert [row["policy"] for row in one["rows"]] == sorted(here, key=lambda name: -here[name])
        assert [row["rank"] for row in one["rows"]] == list(range(1, len(here) + 1))
        for row in one["rows"]:
            assert row["fees"] == pytest.approx(here[row["policy"]] / SEEDS)


@pytest.mark.parametrize("seed", range(6))
def test_the_lead_is_that_of_the_best_trained_over_the_best_by_hand_where_both_traded(seed: int) -> None:
    board, scores = drawn(seed)
    lead = board.data["lead"]
    trained = max(("trained-a", "trained-b"), key=lambda name: iqm(flat(scores[name])))  # of those of most markets
    own = scores[trained]
    fixed = max(
        (name for name in scores if name.startswith("fixed") and set(own) <= set(scores[name])),
        key=lambda name: iqm([value for index in own for value in scores[name][index]]),
    )
    assert (lead["trained"], lead["fixed"], lead["markets"]) == (f"{trained}@target", f"{fixed}@target", 2)
    ahead = {index: [a - b for a, b in zip(own[index], scores[fixed][index], strict=True)] for index in own}
    spread = iqm_interval(ahead)
    assert (lead["iqm"], lead["low"], lead["high"]) == (spread.iqm, spread.low, spread.high)


def test_a_run_is_refused_where_it_left_less_of_the_tape_unseen_than_is_judged() -> None:
    @dataclass(frozen=True)
    class Cut:
        test_fraction: float
        embargo_ns: int

    here, elsewhere = f"tape of {NAMES[1]}", "another tape"
    markets = [market(name) for name in NAMES]
    _check_cuts({"a": [(here, Cut(0.3, 60)), (here, Cut(0.5, 90)), (elsewhere, Cut(0.0, 0))]}, markets)
    for cut in (Cut(0.29, 60), Cut(0.3, 59)):
        with pytest.raises(EvaluationError, match=f"b was trained on {NAMES[1]}, cut otherwise"):
            _check_cuts({"a": [(here, Cut(0.3, 60))], "b": [(elsewhere, cut), (here, cut)]}, markets)
