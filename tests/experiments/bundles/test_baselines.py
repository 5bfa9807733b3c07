"""Goal: a policy written by hand becomes a bundle that a runtime loads, fitted on the training part alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lobgym.agents.baselines import BASELINES, MarketFacts, make_baseline
from lobgym.agents.baselines.rule import ObservationRule
from lobgym.agents.errors import ExportError
from lobgym.envs.markets import market_for
from lobgym.experiments.bundles.baselines import OBSERVATIONS, export_baseline, train_span_ns
from lobgym.experiments.cli.baselines import app
from lobgym.experiments.errors import EvaluationError
from lobgym.runtime.bundle import load_bundle
from lobgym.runtime.errors import BundleError

TAPE = "synth:volatile?seed=3&minutes=6"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "glft"
    result = export_baseline("glft@maker", TAPE, out, "glft-six-minutes")
    assert result.observations > OBSERVATIONS
    assert result.distinct >= 3
    return result.bundle


def test_the_bundle_is_the_policy(folder: Path) -> None:
    loaded = load_bundle(folder, allow_ungated=True)
    assert (loaded.manifest.name, loaded.manifest.algo) == ("glft-six-minutes", "glft")
    market = market_for(TAPE)
    low_ns, high_ns = train_span_ns(market)
    facts = MarketFacts.of(market, low_ns, high_ns, loaded.spec.params, loaded.spec.interval_ns)
    policy = make_baseline("glft", loaded.spec, 0.0, facts)
    rows = np.random.default_rng(1).uniform(-1.0, 1.0, (200, loaded.spec.layout.size)).astype(np.float32)
    wanted = loaded.spec.action.decode(policy.act(rows))
    assert np.array_equal([loaded.policy.decode(loaded.policy.infer(row)) for row in rows], wanted)


def test_the_training_part_ends_before_the_test_part() -> None:
    market = market_for(TAPE)
    low_ns, high_ns = train_span_ns(market)
    length = market.end_ns - market.start_ns
    assert low_ns == market.start_ns
    assert high_ns == pytest.approx(market.start_ns + 0.7 * length - 60_000_000_000, abs=1e6)


def test_the_same_bytes_twice_and_nothing_overwritten(folder: Path, tmp_path: Path) -> None:
    again = export_baseline("glft@maker", TAPE, tmp_path / "again", "glft-six-minutes")
    for file in ("policy.onnx", "manifest.json"):
        assert (again.bundle / file).read_bytes() == (folder / file).read_bytes()
    with pytest.raises(BundleError, match="never overwritten"):
        export_baseline("glft@maker", TAPE, folder)


def test_what_cannot_become_a_bundle_says_why(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="as natr-grid@grid"):
        export_baseline("glft@grid", TAPE, tmp_path / "none")
    with pytest.raises(ExportError, match="not a function of the observation"):
        export_baseline("regime-router@grid", TAPE, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_decision_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ObservationRule.act
    monkeypatch.setattr(ObservationRule, "act", lambda self, rows: original(self, -rows))
    with pytest.raises(ExportError, match="decisions of natr-grid@grid differ"):
        export_baseline("natr-grid@grid", TAPE, tmp_path / "none")


def test_the_commands(tmp_path: Path) -> None:
    runner = CliRunner()
    listed = json.loads(runner.invoke(app, ["list", "--json"]).stdout)
    assert [row["name"] for row in listed] == list(BASELINES)
    facts = json.loads(runner.invoke(app, ["facts", "--tape", TAPE, "--json"]).stdout)
    assert facts["calibration"]["intensity"]["decay_per_tick"] > 0.0
    assert "sigma" in runner.invoke(app, ["facts", "--tape", TAPE]).stdout
    out = str(tmp_path / "grid")
    made = runner.invoke(app, ["export", "adaptive-grid@grid", "--tape", TAPE, "--out", out])
    assert made.exit_code == 0, made.output
    assert "decisions are the same in ONNX" in made.stdout
    assert load_bundle(out, allow_ungated=True).manifest.name == "adaptive-grid"
