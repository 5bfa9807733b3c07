"""Goal: the whole way works, from a tape to a served and replayed policy and a page to look at.

Method: the demo with little training on a short synthetic tape, then every artefact is read back and held against the
others; at last one byte of the tape is changed and the replay must name the first decision that differs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from lobgym.experiments.demo import DemoPlan, DemoResult, Reporter, first_free, run_demo
from lobgym.runtime import load_bundle, replay
from lobgym.sim.tape import Tape, open_tape

TAPE = "synth?seed=5&minutes=6"
PLAN = DemoPlan(ppo_steps=8_192, dqn_steps=5_632, episodes=2)


def nothing(*_: object) -> None:
    """Reports nowhere."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    folder = tmp_path_factory.mktemp("spine") / "demo"
    return run_demo(TAPE, folder, PLAN, Reporter(nothing, nothing, nothing), "lobgym demo")


def test_the_policy_is_exported_gated_and_served(demo: DemoResult) -> None:
    assert demo.export.parity.ok
    assert demo.export.parity.observations >= 20_000
    assert demo.gates.passed
    assert load_bundle(demo.export.bundle).gated
    assert demo.paper.complete
    assert demo.replayed
    assert demo.ok
    assert not replace(demo, replayed=False).ok
    assert not replace(demo, gates=msgspec.structs.replace(demo.gates, passed=False)).ok


def test_the_paper_run_lies_in_the_part_that_training_never_saw(demo: DemoResult) -> None:
    header = json.loads((demo.folder / "paper.jsonl").read_text().splitlines()[0])["body"]
    low, high = demo.board.evaluator.config.span_ns(demo.board.evaluator.market, 500_000_000)
    assert low <= header["start_ns"] <= high


def test_the_leaderboard_lists_everyone(demo: DemoResult) -> None:
    board = json.loads((demo.page.parent / "leaderboard.json").read_text())
    seen = {(row["policy"], row["env"]) for row in board["rows"]}
    fixed = {("flat", "grid"), ("random", "grid"), ("static-grid", "grid"), ("natr-grid", "grid")}
    fixed |= {("flat", "target"), ("always-long", "target"), ("random", "target")}
    assert seen == fixed | {("ppo-grid", "grid"), ("dqn-target", "target")}
    page = demo.page.read_text()
    assert all(name in page for name, _ in seen)
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_a_changed_tape_is_found_out(demo: DemoResult, tmp_path: Path) -> None:
    tape = open_tape(TAPE)
    events = tape.events.copy()
    header = json.loads((demo.folder / "paper.jsonl").read_text().splitlines()[0])["body"]
    later = (events["exch_ns"] > header["start_ns"]) & (events["kind"] == 5)  # best quotes
    events["qty_lots"][later.argmax() :][later[later.argmax() :]] += 1
    path = tmp_path / "changed.parquet"
    Tape(events, tape.instrument, tape.provenance).save(path)
    result = replay(demo.folder / "paper.jsonl", demo.export.bundle, path)
    assert not result.ok
    assert any("tape" in sentence for sentence in result.mismatches)
    assert result.first_difference is not None
    assert result.first_difference.decision >= 0


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    assert first_free(tmp_path / "demo") == tmp_path / "demo"
    (tmp_path / "demo").mkdir()
    assert first_free(tmp_path / "demo") == tmp_path / "demo-2"
