"""Goal: every benchmark runs, says what it measured, and sets up nothing that it was not asked for.

Method: each bench's smallest case at a tiny size on a synthetic tape. No figure is judged here: a machine that is
busy must not turn a test red.
"""

from __future__ import annotations

import importlib
import json
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lobgym.experiments.bench import BENCHES, run_bench
from lobgym.experiments.bench.compile import compiled_bytes
from lobgym.experiments.bench.tiles import compile_repeated, repeat_events
from lobgym.sim.errors import LobgymError
from lobgym.sim.market import Market
from lobgym.sim.records import CLEAR, LAST
from lobgym.sim.tape import Tape, open_tape

TAPE = "synth?seed=1&minutes=0.3"
# What makes a bench small: names of its module, and their values.
TINY: dict[str, dict[str, Any]] = {
    "compile": {"_RUNS": 1},
    "earnhft": {
        "_RUNS": 1,
        "_PEER_ROWS": 50,
        "_HOURS": {"teacher_rows_per_s": 0.05, "quick_minutes": 0.9},
        "_PIECE_HOURS": 0.5,
        "_PROFILES": {"quick_minutes": "tiny"},
        "WORKERS": 1,
    },
    "env": {
        "_RUNS": 1,
        "_WANTED_STEPS": 640,
        "_SCALAR_STEPS": 60,
        "_PPO_ITERATIONS": 1,
        "_HORIZON": 20,
        "PPO": {"n_steps": 2, "batch_size": 64, "n_epochs": 1, "device": "cpu"},
    },
    "exchange": {"_RUNS": 1, "_STEPS": 20, "_DAY_S": 20},
    "film": {"_RUNS": 1, "_WANTED_STEPS": 128, "_HORIZON": 20},
    "ladder": {"_RUNS": 1, "_LADDERS": 20},
    "log": {"_RUNS": 1, "_STEPS": 60},
    "scaling": {"_RUNS": 1, "_SEEKS": 1024, "CASES": {"small": 3000}},
    "seek": {"_RUNS": 1, "_SEEKS": 1024},
    "step": {"_RUNS": 1, "_WANTED_STEPS": 640},
}
GENERATED = {"earnhft", "exchange"}  # which make their own tapes
SMALLEST = {
    "compile": ["rows_per_s", "bytes_per_row_compiled", "bytes_per_row_stored"],
    "earnhft": ["teacher_rows_per_s", "quick_minutes"],
    "env": ["vector64", "scalar", "ppo256"],
    "exchange": ["messages_per_s", "tape_day"],
    "film": ["scalar", "vector64"],
    "ladder": ["ladder10"],
    "log": ["fills", "full"],
    "scaling": ["small"],
    "seek": ["lane", "session"],
    "step": ["lanes64", "lanes64_20"],
}


def _module(name: str) -> ModuleType:
    return importlib.import_module(BENCHES[name])


def _shrink(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    module = _module(name)
    if name not in GENERATED:
        monkeypatch.setattr(module, "find_recording", lambda _: (open_tape(TAPE), ""))
    for constant, value in TINY[name].items():
        assert hasattr(module, constant)
        monkeypatch.setattr(module, constant, value)


@pytest.mark.parametrize("name", sorted(TINY))
def test_a_bench_says_what_it_measured(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    _shrink(monkeypatch, name)
    rows = [json.loads(json.dumps(row.to_json(), allow_nan=False)) for row in run_bench(name, SMALLEST[name])]
    assert [row["case"] for row in rows] == SMALLEST[name]
    for row in rows:
        assert row["bench"] == name
        assert row["unit"]
        assert row["machine"]
        assert row["tape"]
        assert row["runs"] >= 1
        assert row["min"] <= row["value"] <= row["max"]
        if "peer" in row:
            assert row["peer_value"] > 0
            assert np.isfinite(row["ratio"])


def test_the_step_bench_trades(monkeypatch: pytest.MonkeyPatch) -> None:
    _shrink(monkeypatch, "step")
    four, twenty = (row.to_json() for row in run_bench("step", ["lanes64", "lanes64_20"]))
    assert 2 < four["live_orders_mean"] <= 4
    assert 10 < twenty["live_orders_mean"] <= 20
    assert twenty["submits"] > four["submits"] > 0
    assert four["plain_njit"] > 0


def test_large_cases_wait_to_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, expected in (("step", {"lanes64_day"}), ("scaling", {"5M", "20M", "80M"})):
        module = _module(name)
        monkeypatch.setattr(module, "find_recording", lambda _: (None, "it is not here"))
        usual = [row.case for row in run_bench(name)]
        everything = [row.case for row in run_bench(name, everything=True)]
        assert set(everything) - set(usual) == expected == set(module.LARGE)
        assert set(everything) == set(module.CASES)


@pytest.mark.parametrize("name", sorted(set(BENCHES) - GENERATED))
def test_a_missing_recording_is_said_and_nothing_measured(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    module = _module(name)
    monkeypatch.setattr(module, "find_recording", lambda _: (None, "it is not here"))
    cases = list(module.CASES)
    rows = [row.to_json() for row in run_bench(name, cases)]
    assert [row["case"] for row in rows] == cases
    assert all(row["skipped"] == "it is not here" and "value" not in row for row in rows)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(LobgymError, match="compile, earnhft, env, exchange, film, ladder"):
        list(run_bench("nothing"))
    with pytest.raises(LobgymError, match="ladder10"):
        list(run_bench("ladder", ["nothing"]))


# -- repeated tapes ----------------------------------------------------------------------------------------------------


def test_a_repeated_recording_is_a_tape_whose_repetitions_are_alike() -> None:
    tape = open_tape(TAPE)
    once = len(tape) - int(np.flatnonzero(tape.events["kind"] == CLEAR)[0])
    rows = 2 * once + once // 3
    events = repeat_events(tape.events, rows)
    assert len(events) == rows
    assert events["flags"][-1] == LAST
    made = Tape(events, tape.instrument)  # keeps every rule, the order of stamps among them
    first, second = made.events[:once], made.events[once : 2 * once]
    assert first["kind"][0] == second["kind"][0] == CLEAR
    shift = second["exch_ns"] - first["exch_ns"]
    assert (shift == shift[0]).all()
    assert shift[0] > first["exch_ns"][-1] - first["exch_ns"][0]
    assert second["local_ns"].min() > first["local_ns"].max()
    for name in ("price_ticks", "qty_lots", "kind", "side", "seq"):
        assert (first[name] == second[name]).all()


def test_a_repeated_market_is_that_of_its_tape() -> None:
    tape = open_tape(TAPE)
    rows = 2 * len(tape)
    market, seconds = compile_repeated(tape, rows, runs=2)
    assert len(seconds) == 2
    expected = Market.compile(Tape(repeat_events(tape.events, rows), tape.instrument))
    assert (market.start_ns, market.end_ns) == (expected.start_ns, expected.end_ns)
    for mine, other in ((market.exch, expected.exch), (market.local, expected.local)):
        for field, wanted in zip(mine, other, strict=True):
            assert np.array_equal(field, wanted)


def test_compiled_bytes_count_whole_allocations_once() -> None:
    market = Market.compile(open_tape(TAPE))
    both = compiled_bytes(market.exch, market.local)
    assert both == compiled_bytes(market.exch, market.local, market.exch)
    assert compiled_bytes(market.exch) < both
    assert both >= market.exch.ns.nbytes + market.local.ns.nbytes + market.exch.rows.nbytes + market.local.rows.nbytes
    cut = market.exch._replace(ns=market.exch.ns[:1])
    assert compiled_bytes(cut) == compiled_bytes(market.exch)
