"""hftbacktest 2.4.4 itself, its order handling in plain Python, and ours, on the same random scripts.

Runs where `make oracle` has set up the engine's environment; `LOBGYM_ORACLE=full`, which that target sets, compares at
least 100,000 fills for each queue model and wants each rule used at least 100 times.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from lobgym.sim.importers.binance import import_binance
from lobgym.sim.tape import Tape
from tests import recordings
from tests.oracle.cases import Case, differences, engine_python, run_engine
from tests.oracle.plan import QUEUES, cases_of

FULL = os.environ.get("LOBGYM_ORACLE") == "full"
FILLS_WANTED = 100_000
CASES_AT_ONCE = 16
BRANCHES = (
    "gtc_takes", "gtc_rests", "gtx_rests", "gtx_expired", "ioc_takes", "ioc_missed", "fok_takes", "fok_missed",
    "market_takes", "cancel", "cancel_refused", "modify_in_place", "modify_anew_price", "modify_anew_grown",
    "modify_refused", "lost", "through", "crossed", "print_ahead", "print_fills", "print_fills_partly",
    "print_fills_exactly", "walk_one", "walk_several", "walk_rest_at_limit", "walk_rest_expired", "fok_too_large",
    "grown", "shrunk", "printed_since", "front_negative", "p_nan", "p_infinite", "front_min", "clear", "best_pushed",
)  # fmt: skip

needs_engine = pytest.mark.skipif(engine_python() is None, reason="no .venv-oracle: run `make oracle`")


@dataclass
class Compared:
    """A case, what the engine did in it, and where the model is wrong about that."""

    case: Case
    engine: dict[str, Any]
    wrong: list[str]


def recorded_tapes() -> list[Tape]:
    if recordings.missing():
        return []
    names = list(recordings.BINANCE) if FULL else ["usdm-btc-2023"]
    return [import_binance(recordings.BINANCE[name].paths(recordings.FOLDER)) for name in names]


def compare(cases: list[Case], folder: Path) -> list[Compared]:
    answers = run_engine(cases, folder)
    return [Compared(case, one, differences(case, one)) for case, one in zip(cases, answers, strict=True)]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Compared]]:
    """Cases of each queue model: four, or as many as make up FILLS_WANTED fills."""
    tapes, folder = recorded_tapes(), tmp_path_factory.mktemp("oracle")
    streams = {queue: cases_of(queue, tapes) for queue in QUEUES}
    if not FULL:
        cases = [case for queue in QUEUES for case in islice(streams[queue], 4)]
        done = compare(cases, folder)
        return {queue: done[4 * k : 4 * k + 4] for k, queue in enumerate(QUEUES)}
    out: dict[str, list[Compared]] = {}
    for queue, stream in streams.items():
        out[queue] = []
        while sum(len(one.case.model.fills) for one in out[queue]) < FILLS_WANTED:
            out[queue] += compare(list(islice(stream, CASES_AT_ONCE)), folder)
    return out


@needs_engine
@pytest.mark.parametrize("queue", QUEUES)
def test_the_model_is_the_engine(compared: dict[str, list[Compared]], queue: str) -> None:
    """Every answer, stamp, price, quantity, best price and amount of money, bit for bit."""
    fills = 0
    for k, one in enumerate(compared[queue]):
        assert not one.wrong, f"case {k}: {one.case.settings}: {one.wrong}"
        fills += len(one.case.model.fills)
    print(f"\n{queue}: {len(compared[queue])} cases, {fills} fills")
    assert fills > (FILLS_WANTED if FULL else 100)


@needs_engine
def test_every_rule_was_used(compared: dict[str, list[Compared]]) -> None:
    used = sum((one.case.model.branches for ones in compared.values() for one in ones), Counter[str]())
    print("\n" + "\n".join(f"{used[name]:>9} {name}" for name in BRANCHES))
    least = 100 if FULL else 1
    rare = {"print_fills_exactly", "p_infinite"} if not FULL else set()
    assert [name for name in BRANCHES if used[name] < least and name not in rare] == []


@needs_engine
def test_a_difference_would_be_seen(compared: dict[str, list[Compared]]) -> None:
    """The comparison is tried on answers that were changed in one place each."""
    one = max(compared["power3"], key=lambda one: len(one.engine["answers"]))
    for field in ("seen", "exch", "exec_tick", "leaves", "status", "maker"):
        changed = one.engine["answers"].copy()
        changed[field][len(changed) // 2] += 1
        assert differences(one.case, one.engine | {"answers": changed})
    for field in ("balance", "fee", "position", "trades", "bid"):
        changed = one.engine["states"].copy()
        changed[field][-1] += 1
        assert differences(one.case, one.engine | {"states": changed})
