"""Fitting the reactive flow: what is counted on a tape of a known flow, rounds of correction, and the file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lobgym.experiments.cli.app import app
from lobgym.sim.errors import MeasureError, ParamsError
from lobgym.sim.exchange import START_NS, Exchange
from lobgym.sim.flow import ReactiveFlow, calibrate
from lobgym.sim.flow.calibrate import Round
from lobgym.sim.flow.estimate import estimate
from lobgym.sim.instrument import SYNTH
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape
from tests.sim.test_flow import SECOND, narrow, still

SECONDS = 600
SCALED = replace(ReactiveFlow(), jump_per_s=0.8, taker_per_s=6.0, taker_lots=200.0, near_factor=(1.0, 1.0, 1.0))


def tape_of(flow: ReactiveFlow, seconds: int, seed: int) -> Tape:
    exchange = Exchange(SYNTH, flow=flow, seed=seed, record="levels")
    exchange.advance(START_NS + seconds * SECOND)
    return exchange.tape()


@pytest.fixture(scope="module")
def known() -> Market:
    """Ten minutes of a flow whose parameters are known."""
    return Market.compile(tape_of(SCALED, SECONDS, 11))


@pytest.fixture
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "ROUND_S", (60, 60))
    monkeypatch.setattr(calibrate, "ROUNDS_MAX", 4)


def test_counting_finds_the_parameters_of_a_known_flow(known: Market) -> None:
    found = estimate(known).parameters
    # Between the near prices, where batches hide what came and went, and the far ones, where too little happens.
    for b in range(5, 11):
        truth = np.array(SCALED.limit_per_s[b])
        counted = np.array(found["limit_per_s"][b])
        assert abs(counted[0] / truth[0] - 1) < 0.35, f"distance {b}"
        assert abs(found["limit_lots"][b] / SCALED.limit_lots[b] - 1) < 0.35, f"distance {b}"
        assert found["cancel_per_s"][b][0] == 0.0
    # Moves of a few ticks are also takers who empty a price; larger ones are the jumps of value.
    large = [rate * np.mean([one >= 8.0 for one in ticks]) for rate, ticks in (
        (found["jump_per_s"], found["jump_ticks"]), (SCALED.jump_per_s, SCALED.jump_ticks)
    )]  # fmt: skip
    assert abs(large[0] / large[1] - 1) < 0.3
    branching = found["excite_self"] + found["excite_cross"]
    assert abs(branching - 0.6) < 0.2
    assert found["excite_self"] > found["excite_cross"]
    takers = found["taker_per_s"] / (1 - branching)
    assert abs(takers / (SCALED.taker_per_s / 0.4) - 1) < 0.25


def test_what_is_sampled_in_a_round_is_what_is_measured_on_a_tape() -> None:
    flow = replace(ReactiveFlow(), volatility_hold_s=0.0, liquidity_hold_s=0.0)
    sampled = calibrate.simulate(flow, SYNTH, 600_000, (21,), 600)
    measured = calibrate.figures_of(Market.compile(tape_of(flow, 600 + calibrate.WARM_S, 21)))
    for name, one in sampled._asdict().items():
        assert abs(one / getattr(measured, name) - 1) < 0.1, name


def test_a_fit_to_a_known_flow_gives_its_figures_on_other_seeds(known: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "ROUND_S", (600, 600))
    rounds: list[Round] = []
    made = calibrate.calibrate(known, seed=3, on_round=rounds.append)
    assert [one.number for one in rounds] == list(range(1, made.rounds + 1))
    assert made.rounds <= calibrate.ROUNDS_MAX
    fresh = calibrate.simulate(made.flow, SYNTH, made.start_tick, (901, 902, 903), 900)
    for name, away in fresh.away(made.target).items():
        assert abs(away) < calibrate.TOLERANCE, name


def test_the_same_seed_fits_the_same_and_the_file_gives_it_back(
    known: Market, short_rounds: None, tmp_path: Path
) -> None:
    first, second = calibrate.calibrate(known, seed=5), calibrate.calibrate(known, seed=5)
    assert first == second
    path = tmp_path / "flow.json"
    path.write_text("old")
    first.save(path)
    assert [one.name for one in tmp_path.iterdir()] == ["flow.json"]
    assert ReactiveFlow.from_json(path.read_text()) == first.flow
    read = calibrate.load_flow(path)
    assert (read.flow, read.instrument, read.start_tick) == (first.flow, SYNTH, first.start_tick)
    assert read.provenance["tape_digest"] == known.tape.digest
    assert set(read.provenance["target"]) == set(read.provenance["achieved"]) == set(first.target._fields)
    exchange = read.exchange(seed=1, members=1)
    exchange.advance(exchange.now_ns + SECOND)
    assert len(exchange.ladder(1, 5)) == 5


def test_a_file_that_is_no_calibration_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"none\.json"):
        calibrate.load_flow(tmp_path / "none.json")
    bare = tmp_path / "bare.json"
    bare.write_text(ReactiveFlow().to_json())
    with pytest.raises(ParamsError, match=r"bare\.json: not the file of a calibration"):
        calibrate.load_flow(bare)


def test_tapes_with_too_little_in_them_are_refused() -> None:
    no_takers = Market.compile(tape_of(still(narrow(ReactiveFlow(), 8), drift_ticks_per_s=0.0), 20, 1))
    with pytest.raises(MeasureError):
        calibrate.calibrate(no_takers)
    too_short = Market.compile(tape_of(ReactiveFlow(), 12, 1))
    with pytest.raises(MeasureError, match="longer tape"):
        calibrate.calibrate(too_short)


def test_the_command_fits_and_writes(known: Market, short_rounds: None, tmp_path: Path) -> None:
    tape, out = tmp_path / "tape.parquet", tmp_path / "flow.json"
    known.tape.save(tape)
    made = CliRunner().invoke(app, ["market", "calibrate", str(tape), "--out", str(out), "--json"])
    assert made.exit_code == 0, made.output
    printed = json.loads(made.stdout)
    assert printed["tape_digest"] == known.tape.digest
    assert printed["digest"] == ReactiveFlow.from_json(out.read_text()).digest
    assert printed["missed"] == [name for name, away in printed["away"].items() if abs(away) > calibrate.TOLERANCE]
    assert set(printed["away"]) == set(printed["target"]) == set(calibrate.Figures._fields)
