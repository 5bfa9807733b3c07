"""`bench earnhft`: the teacher's speed, and how long the three stages take.

`teacher_rows_per_s` counts decisions whose prices are looked up in the compiled book and whose values of every
position and action are worked out, five positions; beside it the same recursion in plain Python on ready prices.

`quick_minutes` and `full_minutes` train on planted-alpha tapes of the dealer, a hierarchy each from the tape to its
ONNX graph, with two processes, the tape's own generation left out. `full` is four days of decisions a second apart (two
tapes of two days, one behind the other) with the counts of the published code, printed beside it; its tournament
walks every agent from every position over the whole validation part. It takes minutes to an hour: only with `--case`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.experiments.bench.report import BenchRow, row_of, skipped
from lobgym.sim.flow.dealer import DealerFlow, dealer_tape
from lobgym.sim.instrument import SYNTH
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape

__all__ = ["CASES", "LARGE", "run"]

CASES: Final = {"teacher_rows_per_s": "rows/s", "quick_minutes": "minutes", "full_minutes": "minutes"}
LARGE: Final = ("quick_minutes", "full_minutes")
SEED: Final = 1
WORKERS: Final = 2
STRENGTH: Final = 0.5
TARGETS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)
POSITION_LOTS: Final = 100
_RUNS: Final = 7
_HOURS: Final = {"teacher_rows_per_s": 2.0, "quick_minutes": 24.0, "full_minutes": 96.0}
_PIECE_HOURS: Final = 48.0  # a dealer's tape is no longer
_PEER_ROWS: Final = 2_000
_PROFILES: Final = {"quick_minutes": "quick", "full_minutes": "full"}
_PAUSE_NS: Final = 1_000_000_000

# What the published code does, and so the least that `full` may do: 800 chunks of 14,400 s, each walked twice.
REFERENCE: Final = {
    "agents": 200, "low_taught": 800 * 14_400, "low_own": 800 * 14_400, "low_updates": 4 * 11_250
}  # fmt: skip


def run(cases: list[str]) -> Iterator[BenchRow]:
    """Yield one row a case, as soon as it is known."""
    for case in cases:
        try:
            import torch  # noqa: F401
        except ImportError:
            yield from skipped("earnhft", [case], CASES[case], "torch is not installed: pip install lobgym[train]")
            continue
        yield _teacher(case) if case == "teacher_rows_per_s" else _profile(case)


def long_tape(hours: float, seed: int) -> Tape:
    """A planted-alpha tape; longer ones than two days are several of different seeds, one behind the other."""
    flow = DealerFlow.planted_alpha(STRENGTH)
    pieces: list[NDArray[Any]] = []
    at = 0
    while hours > 0.0:
        events = dealer_tape(flow, seed + len(pieces), min(hours, _PIECE_HOURS)).events.copy()
        shift = at - int(events["exch_ns"][0]) if pieces else 0
        events["exch_ns"] += shift
        events["local_ns"] += shift
        at = int(events["exch_ns"][-1]) + _PAUSE_NS
        pieces.append(events)
        hours -= _PIECE_HOURS
    return Tape.taking(pieces[0] if len(pieces) == 1 else np.concatenate(pieces), SYNTH)


# -- the teacher -------------------------------------------------------------------------------------------------------


def _teacher(case: str) -> BenchRow:
    from lobgym.agents.earnhft.prices import HindsightPrices
    from lobgym.agents.earnhft.teacher import rewards_of, teach
    from lobgym.sim.desk_spec import DeskSpec

    market = Market.compile(long_tape(_HOURS[case], SEED))
    spec = DeskSpec.for_market(market, "target", targets=TARGETS, position_lots_max=POSITION_LOTS)
    rows = (market.end_ns - market.start_ns) // spec.interval_ns
    mine, plain = [], []
    for _ in range(_RUNS + 1):
        begin = time.perf_counter()
        prices = HindsightPrices.of(market, spec, market.start_ns, rows)
        teach(prices, 0.99, 1e-6)
        mine.append(rows / (time.perf_counter() - begin))
        rewards = rewards_of(prices, 1e-6)[:_PEER_ROWS].tolist()
        begin = time.perf_counter()
        _plain(rewards, 0.99)
        plain.append(len(rewards) / (time.perf_counter() - begin))
    facts = {"rows": int(rows), "positions": len(TARGETS), "tape": market.tape.digest[:16]}
    return row_of(
        "earnhft", case, mine[1:], CASES[case], peer="the recursion alone, in plain Python", peer_values=plain[1:],
        seed=SEED, extra=facts,
    )  # fmt: skip


def _plain(rewards: list[list[list[float]]], gamma: float) -> list[list[list[float]]]:
    """Q* of every decision, position and action, number by number."""
    values = []
    ahead = [0.0] * len(rewards[0])
    for row in reversed(rewards):
        now = [[reward + gamma * ahead[a] for a, reward in enumerate(actions)] for actions in row]
        ahead = [max(actions) for actions in now]
        values.append(now)
    return values[::-1]


# -- all three stages --------------------------------------------------------------------------------------------------


def _profile(case: str) -> BenchRow:
    from lobgym.agents.earnhft.config import EarnHftConfig
    from lobgym.agents.earnhft.export import export_hierarchy
    from lobgym.agents.earnhft.pipeline import train_earnhft

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tape.parquet"
        tape = long_tape(_HOURS[case], SEED)
        tape.save(path)
        digest, rows = tape.digest, len(tape)
        del tape
        config = EarnHftConfig.profile_of(
            _PROFILES[case], tape=str(path), seed=SEED, out=str(Path(folder) / "run"), targets=TARGETS,
            position_lots_max=POSITION_LOTS, workers=WORKERS,
        )  # fmt: skip
        marks: dict[str, float] = {}
        begin = time.perf_counter()
        result = train_earnhft(config, lambda stage, done, total: _mark(marks, stage, begin))
        graph = export_hierarchy(result)
        seconds = time.perf_counter() - begin
        counts = dict(result.counts)
    facts: dict[str, Any] = {
        "workers": WORKERS, "hours": _HOURS[case], "tape_rows": rows, "tape": digest[:16],
        "onnx_bytes": len(graph.onnx), "router": result.record.router[:16],
    }  # fmt: skip
    facts |= {f"{stage}_until_s": round(at, 1) for stage, at in marks.items()}
    facts |= {"counts": counts, "wanted": wanted_counts(result, case)}
    return row_of("earnhft", case, [seconds / 60.0], CASES[case], seed=SEED, extra=facts)


def wanted_counts(result: Any, case: str) -> dict[str, int]:
    """The least that the full profile may do, by the names of a run's counts; nothing for the others.

    The published code walks 200 agents from 5 positions over every second of its validation part; of this one's, as
    much is asked for in whole minutes.
    """
    if _PROFILES[case] != "full":
        return {}
    config = result.config
    between = max(config.embargo_ns, result.spec.layout.lookback_ns) / 1e9
    minutes = int((_HOURS[case] * 3600.0 * config.fractions[1] - between) // 60.0) - 1
    return REFERENCE | {"validation_steps": REFERENCE["agents"] * len(TARGETS) * minutes * 60}


def _mark(marks: dict[str, float], stage: str, begin: float) -> None:
    marks[stage] = time.perf_counter() - begin
