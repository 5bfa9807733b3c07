"""A cell: one policy on one market, all seeds. A pure function of its inputs, whichever worker computes it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from lobgym.envs.markets import market_for
from lobgym.experiments.errors import EvaluationError, UnfitError
from lobgym.experiments.evaluation.evaluate import EvalConfig, Evaluator
from lobgym.experiments.evaluation.study import TEST_FRACTION
from lobgym.experiments.suite.plan import TAPE_FILE
from lobgym.experiments.suite.players import open_player, steps_of

__all__ = ["cell_digest", "run_cell"]

MARKETS: Final = "markets"
CELLS: Final = "cells"


def run_cell(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """A job: evaluate a player on a market's test part.

    Args:
        task: `market` (what `prepare_market` gave, and its `key`), `player`, `seeds`, `episodes`, `source`.
        aside: within the folder of cells within the suite's folder.

    Returns the figures, or `{"skipped": reason}` where a policy has no place on this market.

    Raises:
        EvaluationError: a tape of another digest; SubmissionError: see `open_player` and `steps_of`.
    """
    root = aside.parent.parent
    known = task["market"]
    market = market_for(root / MARKETS / known["key"] / TAPE_FILE)
    if market.tape.digest != known["tape_digest"]:
        raise EvaluationError(
            f"the tape of {known['name']} has the digest {market.tape.digest}: delete {root / MARKETS}"
        )
    low_ns, high_ns = known["train_span_ns"]
    try:
        policies, spec = open_player(task["player"], root, market, known["interval_ns"], (low_ns, high_ns))
    except UnfitError as error:
        return {"skipped": str(error)}
    config = EvalConfig(
        tuple(range(task["seeds"])),
        task["episodes"],
        steps_of(spec, known["episode_ns"]),
        "test",
        TEST_FRACTION,
        known["embargo_ns"],
    )
    found = Evaluator(market, config).run(policies, spec, "fixed", task["player"]["name"] or "network")
    scale = Decimal(10_000) / (known["worth_units"] * task["episodes"])
    result = {
        "spec_digest": spec.digest,
        "params_digest": spec.params.digest,
        "tape_digest": known["tape_digest"],
        "per_seed": [asdict(metrics) for metrics in found.per_seed],
        "score_bps": [float(metrics.pnl_units * scale) for metrics in found.per_seed],
    }
    return {**result, "digest": cell_digest(result)}


def cell_digest(result: dict[str, Any]) -> str:
    """sha256 over everything that a cell found, its own digest aside."""
    plain = {name: value for name, value in result.items() if name != "digest"}
    return hashlib.sha256(
        json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    ).hexdigest()
