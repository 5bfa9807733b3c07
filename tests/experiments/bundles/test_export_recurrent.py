"""From a run of recurrent PPO to a bundle, and everything that takes bundles: paper, replay, gates, the leaderboard.

The oracle is SB3's own model with SB3's own state, told where episodes begin.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lobgym.agents.onnx.recurrent import RecurrentParity
from lobgym.agents.policy import ModelPolicy
from lobgym.agents.sb3.config import TrainConfig
from lobgym.agents.sb3.rollout import collect_episodes
from lobgym.agents.sb3.settings import LstmSettings
from lobgym.agents.sb3.train import TrainResult, train
from lobgym.experiments.bundles.export import GOLDEN_MET, PARITY_OBSERVATIONS, export_run
from lobgym.experiments.bundles.served import ServedPolicy
from lobgym.experiments.evaluation.episodes import play
from lobgym.experiments.evaluation.evaluate import EvalConfig
from lobgym.experiments.suite.players import run_players
from lobgym.governance.g1 import gate_g1
from lobgym.runtime.bundle import load_bundle
from lobgym.runtime.engine import DECISION
from lobgym.runtime.journal import read_journal
from lobgym.runtime.paper import run_paper
from lobgym.runtime.policy import OnnxPolicy
from lobgym.runtime.replay import replay
from lobgym.sim.desk import Desk
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape, open_tape

TAPE = "synth?minutes=3"
CONFIG = TrainConfig(
    algo="ppo_lstm",
    tape=TAPE,
    total_steps=1024,
    num_envs=8,
    horizon=60,
    hidden=(8,),
    seed=4,
    ppo_lstm=LstmSettings(rollout_steps=32, batch_size=128, epochs=4, learning_rate=0.03, lstm_size=8),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(CONFIG.replace(out=str(tmp_path_factory.mktemp("lstm") / "run")))


@pytest.fixture(scope="module")
def bundle(run: TrainResult) -> Path:
    exported = export_run(run.folder, run.folder.parent / "bundle")
    parity = exported.parity
    assert isinstance(parity, RecurrentParity)
    assert parity.ok
    assert parity.flips == 0
    assert parity.observations - parity.extremes >= PARITY_OBSERVATIONS
    assert parity.boundaries >= 8
    return exported.bundle


@pytest.fixture(scope="module")
def tape() -> Tape:
    return open_tape(TAPE)


@pytest.fixture(scope="module")
def market(tape: Tape) -> Market:
    return Market.compile(tape)


def test_the_bundle_states_its_state_and_golden_sequences(run: TrainResult, bundle: Path, tmp_path: Path) -> None:
    manifest = load_bundle(bundle, allow_ungated=True).manifest
    assert (manifest.algo, manifest.state) == ("ppo_lstm", 16)
    assert manifest.golden.starts == [0, GOLDEN_MET // 2, GOLDEN_MET]
    again = export_run(run.folder, tmp_path / "again", "bundle").bundle
    for name in ("policy.onnx", "manifest.json"):
        assert (again / name).read_bytes() == (bundle / name).read_bytes()


def test_what_is_served_decides_as_what_was_trained_lane_by_lane(run: TrainResult, bundle: Path) -> None:
    """Along episodes side by side, and again after `reset`, where every lane has forgotten."""
    served, original = ServedPolicy.of(load_bundle(bundle, allow_ungated=True)), ModelPolicy(run.model, "model")
    walk = collect_episodes(run.model, CONFIG, 480)
    decode = run.spec.action.decode
    for first in (0, 60):
        assert walk.starts[first].all()
        served.reset(walk.rows.shape[1])
        original.reset(walk.rows.shape[1])
        for rows in walk.rows[first : first + 16]:
            assert np.array_equal(decode(served.act(rows)), decode(original.act(rows)))


def test_paper_and_replay_decide_as_the_model(
    run: TrainResult, bundle: Path, tape: Tape, market: Market, tmp_path: Path
) -> None:
    run_paper(bundle, tape, tmp_path / "j", steps=90, market=market, allow_ungated=True)
    assert replay(tmp_path / "j", bundle, tape).ok
    records = [one.body for one in read_journal(tmp_path / "j").records if one.kind == DECISION]
    desk, memory = Desk(run.spec, market), None
    desk.reset(market.start_ns, 0)
    seen = desk.observe()
    for record in records:
        action, memory = run.model.predict(seen, memory, np.array([record["n"] == 0]), deterministic=True)
        codes = desk.action.decode(action)
        assert record["codes"] == codes[0].tolist()
        seen, _ = desk.step(codes)
    assert len({tuple(record["codes"]) for record in records}) > 1


def test_the_replay_gate_takes_it(bundle: Path) -> None:
    result = gate_g1(bundle, TAPE, steps=60)
    assert result.passed, result.failures


def test_the_leaderboard_plays_every_episode_from_a_state_of_zero(
    run: TrainResult, bundle: Path, market: Market, tmp_path: Path
) -> None:
    """The bundle, the suite's own export and the model earn the same, episode by episode, whoever played before."""
    config = EvalConfig((0, 1), 3, 60, "test", 0.3, 0)
    loaded = load_bundle(bundle, allow_ungated=True)
    (player,), _ = run_players([run.folder], tmp_path, seeds=5)
    network = OnnxPolicy((tmp_path / "models" / f"{player.digests[0]}.onnx").read_bytes(), run.spec)
    served = ServedPolicy.of(loaded, ranked=True)
    played = [
        play(market, run.spec, policy, config)
        for policy in (ModelPolicy(run.model, "m"), served, served, ServedPolicy(network, run.spec, "n", ranked=True))
    ]
    assert played[0].fills.sum() > 0
    for other in played[1:]:
        assert np.array_equal(other.codes, played[0].codes)
        assert np.array_equal(other.pnl, played[0].pnl)
